#include "tensor/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <limits>

#include "gemm_kernel.h"
#include "qkv/base/threads.h"
#include "tensor/bf16.h"
#include "tensor/blas.h"

namespace qkv {
namespace gemm_kernel {
template void product(Index, Index, Index, const Strided<float>&, const Strided<float>&,
                      const Target<float>&);
template void product(Index, Index, Index, const Strided<double>&, const Strided<double>&,
                      const Target<double>&);
}  // namespace gemm_kernel

template <class T>
void blas_product(Trans trans_a, Trans trans_b, int m, int n, int k, T alpha, const T* a, int lda, const T* b,
                  int ldb, T beta, T* c, int ldc) {
  const auto ta = trans_a == Trans::yes ? CblasTrans : CblasNoTrans,
             tb = trans_b == Trans::yes ? CblasTrans : CblasNoTrans;
  if constexpr (sizeof(T) == sizeof(float))
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  else
    cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
template void blas_product(Trans, Trans, int, int, int, float, const float*, int, const float*, int, float,
                           float*, int);
template void blas_product(Trans, Trans, int, int, int, double, const double*, int, const double*, int,
                           double, double*, int);

namespace {

// Counts, each on its own cache line, among which the threads are spread.
struct alignas(64) Count {
  std::atomic<std::int64_t> flops{0};
};
Count counts[32];

Count& own_count() {
  static std::atomic<std::size_t> threads{0};
  static thread_local Count& own = counts[threads++ % std::size(counts)];
  return own;
}

// Whether our own kernel does it. With AVX-512 it does all: in one run on two cores of Emerald Rapids, steps
// of W3, W4 and W5 took 1.05, 1.13 and 1.11 times as long with OpenBLAS 0.3.21. On AVX2 (f32, GFLOP/s of one
// thread, own against OpenBLAS): 16^3 46 : 20, 64 x 64 x 32 70 : 48, 64^3 76 : 60, 384 x 384 x 128 83 : 74,
// equal where an operand no longer fits the second-level cache. OpenBLAS chooses its kernels at run time, so
// without fused multiply-adds at compile time it takes all but the smallest.
#if XSIMD_WITH_AVX512F
constexpr Index kOwn = std::numeric_limits<Index>::max();  // elements of an operand
#elif XSIMD_WITH_FMA3_AVX || XSIMD_WITH_FMA3_AVX2 || XSIMD_WITH_NEON64
constexpr Index kOwn = 512 * 512;
#else
constexpr Index kOwn = 16 * 16;
#endif
bool is_own(Index m, Index n, Index k) {
  return m * k <= kOwn && k * n <= kOwn;
}

template <class T>
using Target = gemm_kernel::Target<T>;

std::atomic<Matmul> precision{Matmul::f32};

// C = alpha A B + beta C on this thread.
template <class T>
void product(Trans trans_a, Trans trans_b, Index m, Index n, Index k, const T* a, Index lda, const T* b,
             Index ldb, const Target<T>& c) {
  own_count().flops.fetch_add(2 * m * n * k, std::memory_order_relaxed);
  if constexpr (sizeof(T) == sizeof(float))
    if (precision == Matmul::bf16)
      return bf16::product(m, n, k, gemm_kernel::strided(trans_a, a, lda),
                           gemm_kernel::strided(trans_b, b, ldb), c);
  auto narrow = [](Index v) {  // BLAS counts in int
    QKV_CHECK(v <= std::numeric_limits<int>::max(), "gemm: sizes must be below 2^31; got {}", v);
    return int(v);
  };
  const int rows = narrow(m), columns = narrow(n), depth = narrow(k), ld = narrow(c.row);
  if (m <= 2 && trans_a == Trans::no && trans_b == Trans::yes)
    return gemm_kernel::dots<T>(m, n, k, a, lda, b, ldb, c);
  if (is_own(m, n, k) || !blas_ready())
    return gemm_kernel::product<T>(m, n, k, gemm_kernel::strided(trans_a, a, lda),
                                   gemm_kernel::strided(trans_b, b, ldb), c);
  if (c.old != c.data)
    for (Index i = 0; i < m; i++) std::copy_n(c.old + i * c.old_row, n, c.data + i * c.row);
  blas_product(trans_a, trans_b, rows, columns, depth, c.alpha, a, narrow(lda), b, narrow(ldb), c.beta,
               c.data, ld);
}

// Where the workers are free, a large product is cut along the longer side of C, into blocks that do not
// depend on how many workers there are. Few of them: each packs the operand of the shorter side anew.
template <class T>
void cut(Trans trans_a, Trans trans_b, Index m, Index n, Index k, const T* a, Index lda, const T* b,
         Index ldb, const Target<T>& c) {
  constexpr Index kLarge = 1 << 23, kSide = 2048, kMaxBlocks = 8, kUnit = 16;
  if (in_task() || m * n * k < kLarge) return product(trans_a, trans_b, m, n, k, a, lda, b, ldb, c);
  const bool by_rows = m > n;
  const Index side = std::max(m, n);
  Index blocks = 2;
  while (blocks < kMaxBlocks && side >= blocks * kSide) blocks *= 2;
  const Index block = ((side + blocks - 1) / blocks + kUnit - 1) / kUnit * kUnit;
  pool().run(int((side + block - 1) / block), [&](int task, int) {
    const Index begin = task * block, size = std::min(block, side - begin);
    if (by_rows)
      product(trans_a, trans_b, size, n, k, a + begin * (trans_a == Trans::no ? lda : 1), lda, b, ldb,
              c.at(begin, 0));
    else
      product(trans_a, trans_b, m, size, k, a, lda, b + begin * (trans_b == Trans::no ? 1 : ldb), ldb,
              c.at(0, begin));
  });
}

}  // namespace

template <class T>
void gemm(Trans trans_a, Trans trans_b, Index m, Index n, Index k, T alpha, const T* a, Index lda, const T* b,
          Index ldb, T beta, T* c, Index ldc) {
  if (m == 0 || n == 0) return;
  if (k == 0) {  // an empty sum; BLAS implementations differ on it
    for (Index i = 0; i < m; i++)
      std::transform(c + i * ldc, c + i * ldc + n, c + i * ldc,
                     [&](T v) { return beta == T(0) ? T(0) : beta * v; });
    return;
  }
  cut<T>(trans_a, trans_b, m, n, k, a, lda, b, ldb, {c, ldc, alpha, beta, c, ldc});
}

template <class T>
void gemm_bias(Trans trans_a, Trans trans_b, Index m, Index n, Index k, const T* a, Index lda, const T* b,
               Index ldb, const T* bias, T* c, Index ldc) {
  if (!bias) return gemm<T>(trans_a, trans_b, m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
  if (m > 0 && n > 0 && k > 0)
    return cut<T>(trans_a, trans_b, m, n, k, a, lda, b, ldb, {c, ldc, T(1), T(1), bias, 0});
  for (Index i = 0; i < m; i++) std::copy_n(bias, n, c + i * ldc);
}
template void gemm(Trans, Trans, Index, Index, Index, float, const float*, Index, const float*, Index, float,
                   float*, Index);
template void gemm(Trans, Trans, Index, Index, Index, double, const double*, Index, const double*, Index,
                   double, double*, Index);

template void gemm_bias(Trans, Trans, Index, Index, Index, const float*, Index, const float*, Index,
                        const float*, float*, Index);
template void gemm_bias(Trans, Trans, Index, Index, Index, const double*, Index, const double*, Index,
                        const double*, double*, Index);

std::string product_engines() {
  const bool all = kOwn == std::numeric_limits<Index>::max();
  return fmt::format("qkv's own kernel ({}){}", vector_set(),
                     all ? "" : fmt::format(" up to {} elements in an operand, else BLAS", kOwn));
}

void set_matmul(Matmul how) {
  precision = how;
}
Matmul matmul_in_use() {
  return precision;
}

std::int64_t gemm_flops() {
  std::int64_t total = 0;
  for (const Count& count : counts) total += count.flops;
  return total;
}

}  // namespace qkv
