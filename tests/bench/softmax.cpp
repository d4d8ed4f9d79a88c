// Softmax over rows of the widths that attention and output layers have.
#include "qkv/ops/reduce.h"

#include "micro.h"

namespace qkv::bench {
namespace {

void softmax_value(benchmark::State& state) {
  const Tensor x = random_tensor({state.range(0), state.range(1)});
  value(state, [&] { return softmax(x); });
  count(state, x.size(), 2);
}
void softmax_gradient(benchmark::State& state) {
  const Tensor x = random_tensor({state.range(0), state.range(1)});
  with_gradients(state, {x}, [](auto& v) { return softmax(v[0]); });
  count(state, x.size(), 6);
}

void rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "width"})->Args({512, 16})->Args({512, 64})->Args({512, 256})->Args({64, 8000});
}
BENCHMARK(softmax_value)->Apply(rows);
BENCHMARK(softmax_gradient)->Apply(rows);

}  // namespace
}  // namespace qkv::bench
