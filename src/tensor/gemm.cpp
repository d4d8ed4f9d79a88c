#include "qkv/tensor/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <limits>

namespace qkv {
namespace {

// One thread per worker: the batch is split above this level. Set once, before the first product.
const bool kSingleThreaded = [] {
  openblas_set_num_threads(1);
  return true;
}();

void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha, const float* a,
             int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, double alpha, const double* a,
             int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
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
  auto blas = [](Trans t) {
    return t == Trans::yes ? CblasTrans : CblasNoTrans;
  };
  auto narrow = [](Index v) {  // BLAS counts in int
    QKV_CHECK(v <= std::numeric_limits<int>::max(), "gemm: sizes must be below 2^31; got {}", v);
    return static_cast<int>(v);
  };
  product(blas(trans_a), blas(trans_b), narrow(m), narrow(n), narrow(k), alpha, a, narrow(lda), b,
          narrow(ldb), beta, c, narrow(ldc));
}
template void gemm(Trans, Trans, Index, Index, Index, float, const float*, Index, const float*, Index, float,
                   float*, Index);
template void gemm(Trans, Trans, Index, Index, Index, double, const double*, Index, const double*, Index,
                   double, double*, Index);

const char* blas_config() {
  return openblas_get_config();
}
const char* blas_core() {
  return openblas_get_corename();
}

}  // namespace qkv
