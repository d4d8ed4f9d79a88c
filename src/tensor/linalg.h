// Matrix decompositions, for analyses and initialisation. Computed in f64; results have the dtype given.
#pragma once
#include "qkv/tensor/tensor.h"

namespace qkv {

struct Svd {
  Tensor u;   ///< [m, k] orthonormal columns, k = min(m, n)
  Tensor s;   ///< [k] singular values, falling
  Tensor vt;  ///< [k, n] orthonormal rows
};
/// x [m, n] = u diag(s) vt. Of each row of vt the largest entry by magnitude is positive.
Svd svd(const Tensor& x);

struct Pca {
  Tensor mean;            ///< [d]
  Tensor components;      ///< [k, d] orthonormal rows; signs as in svd
  Tensor projected;       ///< [n, k] = (x - mean) components^T
  Tensor variance;        ///< [k] of the projections, falling: s^2 / (n - 1)
  Tensor variance_ratio;  ///< [k] share of the total variance (0 where there is none)
};
/// Principal components of the rows of x [n, d]; n >= 2, 1 <= k <= min(n, d).
Pca pca(const Tensor& x, Index k);

}  // namespace qkv
