// The AdamW update and the norm for clipping: one thread, from the cache and from memory.
#include "micro.h"
#include "ops/optimizer_kernels.h"

namespace qkv::bench {
namespace {

void adamw(benchmark::State& state) {
  const Index n = state.range(0);
  Tensor p = random_tensor({n}), m = random_tensor({n}), v = random_tensor({n}, 0, 1);
  const Tensor g = random_tensor({n});
  AdamStep step;
  for (auto _ : state) {
    adamw_update(p.data<float>(), m.data<float>(), v.data<float>(), g.data<float>(), n, step);
    step.step++;
  }
  count(state, n, 7);
}
void gradient_norm(benchmark::State& state) {
  const Tensor g = random_tensor({state.range(0)});
  for (auto _ : state) benchmark::DoNotOptimize(sum_of_squares(g.data<float>(), g.size()));
  count(state, g.size(), 1);
}

BENCHMARK(adamw)->ArgName("n")->Arg(16 << 10)->Arg(1 << 20)->Arg(16 << 20);
BENCHMARK(gradient_norm)->ArgName("n")->Arg(16 << 10)->Arg(1 << 20)->Arg(16 << 20);

}  // namespace
}  // namespace qkv::bench
