// What the tape costs per op: a chain of ops on a few numbers, without a tape, recorded, and with gradients.
#include "micro.h"
#include "qkv/ops/arithmetic.h"

namespace qkv::bench {
namespace {

constexpr int kOps = 100;

Var chain(const Var& x) {
  Var y = x;
  for (int i = 0; i < kOps; i++) y = mul(y, 1.001);
  return y;
}
void per_op(benchmark::State& state) {
  state.counters["per_op"] = benchmark::Counter(kOps * static_cast<double>(state.iterations()),
                                                benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void tape_none(benchmark::State& state) {
  const Tensor x = random_tensor({8});
  value(state, [&] { return chain(x); });
  per_op(state);
}
void tape_recorded(benchmark::State& state) {
  const Tensor x = random_tensor({8});
  const int store = 0;
  for (auto _ : state) {
    Tape tape;
    benchmark::DoNotOptimize(chain(tape.leaf(&store, 0, x)));
  }
  per_op(state);
}
void tape_gradient(benchmark::State& state) {
  with_gradients(state, {random_tensor({8})}, [](auto& v) { return chain(v[0]); });
  per_op(state);
}

BENCHMARK(tape_none);
BENCHMARK(tape_recorded);
BENCHMARK(tape_gradient);

}  // namespace
}  // namespace qkv::bench
