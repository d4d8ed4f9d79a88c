// GEMM: the one place that multiplies matrices.
#pragma once
#include "qkv/tensor/tensor.h"

namespace qkv {

enum class Trans : bool { no = false, yes = true };

/// C = alpha * op(A) op(B) + beta * C on row-major matrices; op(A) is [m, k], op(B) is [k, n], C is [m, n].
/// `lda`, `ldb`, `ldc` are the distances between stored rows, so that slices and heads are read in place.
/// With beta = 0, C is not read. Large products go over the workers where these are free (see `in_task`), in
/// blocks that do not depend on how many there are; same sizes give the same bits.
template <class T>
void gemm(Trans trans_a, Trans trans_b, Index m, Index n, Index k, T alpha, const T* a, Index lda, const T* b,
          Index ldb, T beta, T* c, Index ldc);

/// C = op(A) op(B) + bias, `bias` [n] being added to every row: as `gemm` with beta = 1 onto copies of it.
/// Null stands for zeros.
template <class T>
void gemm_bias(Trans trans_a, Trans trans_b, Index m, Index n, Index k, const T* a, Index lda, const T* b,
               Index ldb, const T* bias, T* c, Index ldc);

/// The first of these by the BLAS, whether or not it is ready.
template <class T>
void blas_product(Trans trans_a, Trans trans_b, int m, int n, int k, T alpha, const T* a, int lda, const T* b,
                  int ldb, T beta, T* c, int ldc);

/// Which products qkv's own kernel computes here, and which go to the BLAS; one line for `doctor`.
std::string product_engines();

/// Floating-point operations of all products so far, 2 m n k each, by all threads of the process.
std::int64_t gemm_flops();

}  // namespace qkv
