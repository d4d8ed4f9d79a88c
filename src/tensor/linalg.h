// Matrix decompositions, for analyses and initialisation. Computed in f64; results have the dtype given.
#pragma once
#include "qkv/tensor/tensor.h"

namespace qkv {

/// Singular values of x [m, n]: [min(m, n)], falling.
Tensor singular_values(const Tensor& x);

struct Pca {
  Tensor mean;            ///< [d]
  Tensor components;      ///< [k, d] orthonormal rows; of each the largest entry by magnitude is positive
  Tensor projected;       ///< [n, k] = (x - mean) components^T
  Tensor variance_ratio;  ///< [k] share of the total variance (0 where there is none)
};
/// Principal components of the rows of x [n, d]; n >= 2, 1 <= k <= min(n, d).
Pca pca(const Tensor& x, Index k);

}  // namespace qkv
