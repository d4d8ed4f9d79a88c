// Softmax and cross entropy in one, over the workloads' vocabularies.
#include "qkv/ops/loss.h"

#include "micro.h"

namespace qkv::bench {
namespace {

void cross_entropy_value(benchmark::State& state) {
  const Tensor logits = random_tensor({state.range(0), state.range(1)});
  const Tensor targets = random_ids({state.range(0)}, state.range(1));
  value(state, [&] { return cross_entropy(logits, targets).sum; });
  count(state, logits.size(), 1);
}
void cross_entropy_gradient(benchmark::State& state) {
  const Tensor logits = random_tensor({state.range(0), state.range(1)});
  const Tensor targets = random_ids({state.range(0)}, state.range(1));
  with_gradients(state, {logits}, [&](auto& v) { return cross_entropy(v[0], targets).sum; });
  count(state, logits.size(), 3);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "V"})->Args({32, 2})->Args({384, 65})->Args({512, 8000})->Args({32, 50304});
}
BENCHMARK(cross_entropy_value)->Apply(sizes);
BENCHMARK(cross_entropy_gradient)->Apply(sizes);

}  // namespace
}  // namespace qkv::bench
