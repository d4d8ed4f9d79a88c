// Fused attention, packed as in self-attention: batch, length, heads, width of a head, causal or not.
#include "qkv/ops/attention.h"

#include "micro.h"

namespace qkv::bench {
namespace {

AttentionOptions options_of(const benchmark::State& state) {
  AttentionOptions options(state.range(2), state.range(3));
  options.mask.causal = state.range(4) != 0;
  return options;
}
Tensor packed(const benchmark::State& state) {
  return random_tensor({state.range(0), state.range(1), 3 * state.range(2) * state.range(3)});
}
// Products of a full, unmasked attention: 4 per forward pass and element of the scores and head, 8 backward.
void count_products(benchmark::State& state, double per_pass) {
  const double scores =
      static_cast<double>(state.range(0) * state.range(1) * state.range(1) * state.range(2));
  state.counters["GFLOP"] =
      benchmark::Counter(1e-9 * per_pass * scores * static_cast<double>(state.range(3) * state.iterations()),
                         benchmark::Counter::kIsRate);
}

void attention_value(benchmark::State& state) {
  const Tensor qkv = packed(state);
  value(state, [&] { return attention_packed(qkv, options_of(state)); });
  count_products(state, 4);
}
void attention_gradient(benchmark::State& state) {
  with_gradients(state, {packed(state)}, [&](auto& v) { return attention_packed(v[0], options_of(state)); });
  count_products(state, 12);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"B", "T", "H", "D", "causal"});
  b->Args({16, 16, 2, 16, 0});  // W1, one of two shards
  b->Args({6, 64, 4, 32, 1});   // W2
  b->Args({1, 256, 6, 64, 1});  // W3, one sequence
  b->Args({2, 64, 12, 64, 1});  // W4
  b->Args({16, 32, 4, 64, 0});  // W5
  b->Args({1, 1024, 8, 64, 1});
  b->Args({1, 4096, 6, 64, 1});  // W3's model with long texts
}
BENCHMARK(attention_value)->Apply(sizes);
BENCHMARK(attention_gradient)->Apply(sizes);

}  // namespace
}  // namespace qkv::bench
