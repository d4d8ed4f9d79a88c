// The only source that includes xtensor-blas: its cblas prototypes clash with <cblas.h>, which gemm.cpp owns.
#include "tensor/linalg.h"

#include <cmath>
#include <tuple>

#include "qkv/tensor/xt.h"
#include "tensor/blas.h"
#if __has_include(<xtensor-blas/linalg.hpp>)
#include <xtensor-blas/linalg.hpp>
#else
#include <xtensor-blas/xlinalg.hpp>
#endif

namespace qkv {
namespace {

using Matrix = xt::xtensor<double, 2>;
using Vector = xt::xtensor<double, 1>;

Matrix to_matrix(const char* op, const Tensor& x) {
  QKV_CHECK(x.dtype() != Dtype::i32, "{}: dtype must be f32 or f64; got i32", op);
  QKV_CHECK(x.rank() == 2 && x.size() > 0, "{}: input must be a matrix with elements; got {}", op, x.shape());
  QKV_CHECK(blas_ready(), "{}: the BLAS must compute right products; got none ({})", op, blas().note);
  const Tensor wide = x.to(Dtype::f64);
  const double* values = wide.data<double>();
  // LAPACK may not return on NaN
  for (Index i = 0; i < wide.size(); i++)
    QKV_CHECK(std::isfinite(values[i]), "{}: values must be finite; got {} at row {}, column {}", op,
              values[i], i / x.dim(1), i % x.dim(1));
  return view<double, 2>(wide);
}

// +1 or -1, so that the largest entry by magnitude becomes positive. Entries within rounding of the largest
// count as equal and the first of them decides.
template <class Row>
double sign_of(const Row& row) {
  double largest = 0;
  for (double value : row) largest = std::max(largest, std::abs(value));
  for (double value : row)
    if (std::abs(value) >= largest * (1 - 1e-9)) return value < 0 ? -1 : 1;
  return 1;
}

}  // namespace

Tensor singular_values(const Tensor& x) {
  return to_tensor(std::get<1>(xt::linalg::svd(to_matrix("svd", x), false))).to(x.dtype());
}

Pca pca(const Tensor& x, Index k) {
  Matrix centred = to_matrix("pca", x);
  QKV_CHECK(x.dim(0) >= 2, "pca: at least two rows must be given; got {}", x.shape());
  QKV_CHECK(k >= 1 && k <= std::min(x.dim(0), x.dim(1)), "pca: k must be in [1, {}]; got {} for {}",
            std::min(x.dim(0), x.dim(1)), k, x.shape());
  const Vector mean = xt::mean(centred, {0});
  xt::noalias(centred) -= mean;
  auto [u_any, s_any, vt_any] = xt::linalg::svd(centred, false);
  Matrix u = u_any, vt = vt_any;
  for (std::size_t i = 0; i < vt.shape(0); i++) {
    const double sign = sign_of(xt::row(vt, std::ptrdiff_t(i)));
    xt::view(vt, i, xt::all()) *= sign;
    xt::view(u, xt::all(), i) *= sign;
  }
  auto first = xt::range(Index{0}, k);  // const would not compile
  const Vector s = s_any, spread = s * s / double(x.dim(0) - 1);
  const Matrix components = xt::view(vt, first, xt::all());
  const Matrix projected = xt::view(u, xt::all(), first) * xt::view(s, first);
  const Vector variance = xt::view(spread, first);
  const double total = xt::sum(spread)();
  const Vector ratio = variance * (total > 0 ? 1 / total : 0.0);
  const Dtype dtype = x.dtype();
  return {to_tensor(mean).to(dtype), to_tensor(components).to(dtype), to_tensor(projected).to(dtype),
          to_tensor(ratio).to(dtype)};
}

}  // namespace qkv
