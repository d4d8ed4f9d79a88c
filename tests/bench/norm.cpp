// Layer norm and RMS norm over rows of the workloads' widths.
#include "qkv/ops/norm.h"

#include "micro.h"

namespace qkv::bench {
namespace {

void layer_norm_value(benchmark::State& state) {
  const Index d = state.range(1);
  const Tensor x = random_tensor({state.range(0), d}), gain = random_tensor({d}), bias = random_tensor({d});
  value(state, [&] { return layer_norm(x, gain, bias); });
  count(state, x.size(), 2);
}
void layer_norm_gradient(benchmark::State& state) {
  const Index d = state.range(1);
  const std::vector<Tensor> inputs = {random_tensor({state.range(0), d}), random_tensor({d}),
                                      random_tensor({d})};
  with_gradients(state, inputs, [](auto& v) { return layer_norm(v[0], v[1], v[2]); });
  count(state, inputs[0].size(), 5);
}
void rms_norm_gradient(benchmark::State& state) {
  const Index d = state.range(1);
  const std::vector<Tensor> inputs = {random_tensor({state.range(0), d}), random_tensor({d})};
  with_gradients(state, inputs, [](auto& v) { return rms_norm(v[0], v[1]); });
  count(state, inputs[0].size(), 5);
}

void rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "width"})->Args({256, 32})->Args({384, 128})->Args({1024, 384})->Args({128, 768});
}
BENCHMARK(layer_norm_value)->Apply(rows);
BENCHMARK(layer_norm_gradient)->Apply(rows);
BENCHMARK(rms_norm_gradient)->Apply(rows);

}  // namespace
}  // namespace qkv::bench
