#include "inspect/measures.h"

#include <cmath>

#include "qkv/tensor/xt.h"

namespace qkv {
namespace {

// All elements as one vector in f64. What `wide` keeps must outlive it.
auto elements(const Tensor& x, Tensor& wide) {
  wide = x.to(Dtype::f64).reshape({x.size()});
  return view<double, 1>(static_cast<const Tensor&>(wide));
}

}  // namespace

double largest_difference(const Tensor& a, const Tensor& b) {
  Tensor x, y;
  return xt::amax(xt::abs(elements(a, x) - elements(b, y)))();
}

double length_of(const Tensor& x) {
  return std::sqrt(dot(x, x));
}

double distance(const Tensor& a, const Tensor& b) {
  Tensor x, y;
  return std::sqrt(xt::sum(xt::square(elements(a, x) - elements(b, y)))());
}

double dot(const Tensor& a, const Tensor& b) {
  Tensor x, y;
  return xt::sum(elements(a, x) * elements(b, y))();
}

double cosine(const Tensor& a, const Tensor& b) {
  const double lengths = std::sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

double entropy(const Tensor& p) {
  Tensor wide;
  const auto x = elements(p, wide);
  return -xt::sum(xt::where(x > 0.0, x * xt::log(xt::maximum(x, 1e-300)), 0.0))();
}

}  // namespace qkv
