// Our matrix product against plain cblas_sgemm, over the shapes of the workloads. Arguments: m, n, k, and
// which operands are transposed (0 none, 1 the second as in x W^T, 2 the first as in x^T dy).
#include "tensor/gemm.h"

#include <cblas.h>

#include "micro.h"

namespace qkv::bench {
namespace {

template <class Multiply>
void run(benchmark::State& state, Multiply multiply) {
  const Index m = state.range(0), n = state.range(1), k = state.range(2);
  const bool ta = state.range(3) == 2, tb = state.range(3) == 1;
  const Tensor a = random_tensor({m, k}), b = random_tensor({k, n});
  Tensor c = Tensor::empty({m, n});
  for (auto _ : state) {
    multiply(ta, tb, m, n, k, a.data<float>(), ta ? m : k, b.data<float>(), tb ? k : n, c.data<float>(), n);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP"] = benchmark::Counter(2e-9 * static_cast<double>(m * n * k * state.iterations()),
                                               benchmark::Counter::kIsRate);
}

void gemm_qkv(benchmark::State& state) {
  run(state,
      [](bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b, Index ldb,
         float* c, Index ldc) { gemm<float>(Trans(ta), Trans(tb), m, n, k, 1, a, lda, b, ldb, 0, c, ldc); });
}
void gemm_openblas(benchmark::State& state) {
  run(state, [](bool ta, bool tb, Index m, Index n, Index k, const float* a, Index lda, const float* b,
                Index ldb, float* c, Index ldc) {
    auto i = [](Index v) {
      return static_cast<int>(v);
    };
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, i(m), i(n),
                i(k), 1, a, i(lda), b, i(ldb), 0, c, i(ldc));
  });
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "n", "k", "t"});
  for (int t : {0, 1, 2}) {
    for (int n : {16, 32, 64, 128, 256, 512}) b->Args({n, n, n, t});
    b->Args({64, 64, 32, t})->Args({256, 256, 64, t});                          // scores of one head
    b->Args({256, 96, 32, t})->Args({256, 32, 64, t})->Args({32, 64, 256, t});  // W1
    b->Args({384, 384, 128, t})
        ->Args({384, 512, 128, t})
        ->Args({128, 512, 384, t})  // W2
        ->Args({384, 65, 128, t});
    b->Args({1024, 1152, 384, t})->Args({384, 1536, 1024, t});  // W3
    b->Args({128, 2304, 768, t})->Args({768, 3072, 128, t});    // W4
    b->Args({512, 1024, 256, t})->Args({512, 8000, 256, t});    // W5
    b->Args({16, 512, 128, t});                                 // W6
  }
}
BENCHMARK(gemm_qkv)->Apply(shapes);
BENCHMARK(gemm_openblas)->Apply(shapes);

}  // namespace
}  // namespace qkv::bench
