#include "qkv/ops/attention.h"

#include <doctest/doctest.h>

#include <cmath>
#include <complex>

#include "qkv/base/random.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

double dot(const Tensor& a, const Tensor& b, Index row_a, Index row_b) {
  double sum = 0;
  for (Index i = 0; i < a.dim(2); i++) sum += a.at(row_a * a.dim(2) + i) * b.at(row_b * a.dim(2) + i);
  return sum;
}

}  // namespace

TEST_CASE("rotary multiplies pairs, read as complex numbers, by exp(i angle)") {
  const Index B = 2, T = 5, H = 3, D = 10, W = H * D + 4;
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (Index dim : {10, 6})
      for (bool interleaved : {false, true}) {
        RotaryOptions options(H, D);
        options.dim = dim;
        options.interleaved = interleaved;
        const Tensor x = normal({B, T, W}, dtype);
        const Tensor y = rotary(x, rotary_table(4, T, dim, 100.0, dtype), options).value();
        Tensor expected = x.to(Dtype::f64).clone();
        for (Index row = 0; row < B * T; row++)
          for (Index h = 0; h < H; h++)
            for (Index i = 0; i < dim / 2; i++) {
              double* head = expected.data<double>() + row * W + h * D;
              double& re = head[interleaved ? 2 * i : i];
              double& im = head[interleaved ? 2 * i + 1 : i + dim / 2];
              const double angle =
                  static_cast<double>(4 + row % T) * std::pow(100.0, -2.0 * double(i) / double(dim));
              const std::complex<double> z = std::complex<double>(re, im) * std::polar(1.0, angle);
              re = z.real(), im = z.imag();
            }
        for (Index i = 0; i < x.size(); i++)
          CHECK(y.at(i) == doctest::Approx(expected.at(i)).epsilon(dtype == Dtype::f32 ? 1e-5 : 1e-12));
      }
}

TEST_CASE("scores of rotated queries and keys depend on the distance of their positions alone") {
  const RotaryOptions options(1, 8);
  const Tensor q = normal({1, 1, 8}), k = normal({1, 2, 8}).rows(0, 1);
  auto score = [&](Index tq, Index tk) {
    const Tensor key = k.reshape(Shape{2, 8}).rows(1, 1).reshape(Shape{1, 1, 8});
    return dot(rotary(q, rotary_table(tq, 1, 8, 1e4, Dtype::f64), options).value(),
               rotary(key, rotary_table(tk, 1, 8, 1e4, Dtype::f64), options).value(), 0, 0);
  };
  CHECK(score(3, 1) == doctest::Approx(score(103, 101)).epsilon(1e-12));
  CHECK(score(3, 1) != doctest::Approx(score(3, 2)).epsilon(1e-3));
}

TEST_CASE("rotary checks its table and widths, and passes symbolic tensors") {
  RotaryOptions options(2, 4);
  const RotaryTable table = rotary_table(0, 3, 4);
  CHECK(rotary(Tensor::symbolic({2, 3, 8}), table, options).is_symbolic());
  CHECK_THROWS_WITH_AS(rotary(Tensor::zeros({2, 3, 7}), table, options),
                       "rotary: x must be [B, T, at least 8]; got [2, 3, 7]", Error);
  CHECK_THROWS_WITH_AS(rotary(Tensor::zeros({2, 4, 8}), table, options),
                       "rotary: table must be f32 [4, 2] or [2, 4, 2]; got f32 [3, 2]", Error);
  options.dim = 3;
  CHECK_THROWS_WITH_AS(rotary(Tensor::zeros({2, 3, 8}), table, options),
                       "rotary: dim must be even and at most 4; got 3", Error);
  CHECK_THROWS_WITH_AS(rotary_table(0, 3, 3), "rotary_table: dim must be even; got 3", Error);
}
