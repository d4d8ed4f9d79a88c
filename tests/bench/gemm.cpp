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

// The products of a shard, or of a block of a product that is cut; the third size is summed over.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "n", "k", "t"});
  constexpr Index kShapes[][4] = {
      {256, 96, 32, 1},    {256, 32, 96, 0},     {96, 32, 256, 2},                            // W1
      {384, 512, 128, 1},  {384, 128, 512, 0},   {128, 512, 384, 2},    {64, 64, 32, 1},      // W2
      {512, 1536, 384, 1}, {512, 384, 1536, 1},  {512, 384, 1536, 0},   {512, 1536, 384, 0},  // W3
      {1536, 384, 512, 2}, {384, 1536, 512, 2},  {64, 256, 64, 1},      {64, 64, 256, 0},     // W3, W7
      {256, 1536, 768, 1}, {256, 384, 3072, 0},  {768, 1536, 256, 2},   {256, 6288, 768, 1},  // W4
      {6288, 768, 256, 2}, {256, 384, 50304, 0},                                              // W4
      {512, 1024, 256, 1}, {512, 256, 1024, 0},  {1024, 256, 512, 2},   {512, 8000, 256, 1},  // W5
      {512, 256, 8000, 0}, {8000, 256, 512, 2},                                               // W5
      {8, 512, 128, 0},    {512, 128, 512, 2},   {1024, 1024, 1024, 0},                       // W6; doctor
  };
  for (const auto& [m, n, k, t] : kShapes) b->Args({m, n, k, t});
}
BENCHMARK(gemm_qkv)->Apply(shapes);
BENCHMARK(gemm_openblas)->Apply(shapes);

}  // namespace
}  // namespace qkv::bench
