// Random tensors, and comparison with numbers from an independent formula.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/tensor/tensor.h"

namespace qkv::test {

/// Normal numbers; the same for equal arguments.
inline Tensor normal(const Shape& shape, Dtype dtype = Dtype::f64, std::uint64_t seed = 1,
                     double scale = 1.0) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  fill_normal(Stream(seed, "test"), t.data<double>(), static_cast<std::size_t>(t.size()), 0.0, scale);
  return t.to(dtype);
}

/// Numbers of equal chance in [low, high).
inline Tensor uniform(const Shape& shape, Dtype dtype, std::uint64_t seed, double low = -2, double high = 2) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  Stream stream(seed, "test");
  for (Index i = 0; i < t.size(); i++) t.data<double>()[i] = low + (high - low) * stream.uniform64();
  return t.to(dtype);
}

/// Whether the elements of one lie among those of the other.
inline bool share_buffer(const Tensor& a, const Tensor& b) {
  return a.bytes() < b.bytes() + b.byte_size() && b.bytes() < a.bytes() + a.byte_size();
}

inline Tensor ids(const Shape& shape, const std::vector<std::int32_t>& values) {
  return Tensor::from(shape, values);
}

/// Largest |a - b| / max(1, |b|); infinite when the sizes differ or only one is NaN.
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); i++) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double error = std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i]));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}
inline double distance(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() ? distance(a.to_vector(), b.to_vector()) : INFINITY;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0;
}

/// Rounding that a result of this type may carry.
inline double tolerance(Dtype dtype) {
  return dtype == Dtype::f32 ? 2e-6 : 1e-13;
}

}  // namespace qkv::test
