#include "tensor/rows.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

using namespace qkv;

namespace {

template <class T>
void check_lengths() {
  for (Index n = 0; n <= 70; n++) {
    std::vector<T> x(static_cast<std::size_t>(n)), y(x.size()), out(x.size() + 1, T(-7));
    for (std::size_t i = 0; i < x.size(); i++)
      x[i] = static_cast<T>(static_cast<Index>(i) * 37 % 71 - 30), y[i] = static_cast<T>(i % 5);
    double sum = 0, top = -1e9;
    for (std::size_t i = 0; i < x.size(); i++)
      sum += static_cast<double>(x[i] * y[i]), top = std::max(top, static_cast<double>(x[i]));
    auto product = [](auto a, auto b) {
      return a * b;
    };
    simd::apply(n, out.data(), x.data(), y.data(), product);
    for (std::size_t i = 0; i < x.size(); i++) CHECK(out[i] == x[i] * y[i]);
    simd::apply_beta(1.0, n, out.data(), x.data(), y.data(), product);
    for (std::size_t i = 0; i < x.size(); i++) CHECK(out[i] == 2 * x[i] * y[i]);
    CHECK(out.back() == T(-7));
    std::fill(out.begin(), out.end(), T(NAN));
    simd::apply_beta(0.0, n, out.data(), x.data(), y.data(), product);
    for (std::size_t i = 0; i < x.size(); i++) CHECK(out[i] == x[i] * y[i]);
    CHECK(simd::dot<T>(n, x.data(), y.data()) == static_cast<T>(sum));
    if (n > 0) CHECK(simd::max(n, x.data()) == static_cast<T>(top));
  }
}

}  // namespace

TEST_CASE("apply, sum and max handle every length and write nothing beyond it") {
  check_lengths<float>();
  check_lengths<double>();
}

TEST_CASE("the value of an element does not depend on its position") {
  std::vector<float> x(40), out(40), one(1);
  for (std::size_t i = 0; i < x.size(); i++) x[i] = 0.37f * static_cast<float>(i) - 5;
  auto f = [](auto v) {
    return simd::exp(v) * simd::tanh(v);
  };
  simd::apply(40, out.data(), x.data(), f);
  for (std::size_t i = 0; i < x.size(); i++) {
    simd::apply(1, one.data(), x.data() + i, f);
    CHECK(std::memcmp(&one[0], &out[i], sizeof(float)) == 0);
  }
}

TEST_CASE("max finds a NaN wherever it stands, and the softmax of a row of -inf is zero") {
  const float inf = std::numeric_limits<float>::infinity();
  for (Index n : {1, 5, 16, 33, 70})
    for (Index at = 0; at < n; at++) {
      std::vector<float> x(static_cast<std::size_t>(n), -inf), y(x.size(), 7);
      CHECK(simd::max(n, x.data()) == -inf);
      simd::softmax_row(n, x.data(), y.data());
      CHECK(simd::sum(n, y.data()) == 0);
      x[static_cast<std::size_t>(at)] = NAN;
      CHECK(std::isnan(simd::max(n, x.data())));
      CHECK(std::isnan(simd::log_sum_exp(n, x.data()).top));
      x[static_cast<std::size_t>(at)] = 3;
      CHECK(simd::max(n, x.data()) == 3);
      simd::softmax_row(n, x.data(), y.data());
      CHECK(y[static_cast<std::size_t>(at)] == 1);
      CHECK(simd::log_sum_exp(n, x.data()).sum == 1);
    }
}

TEST_CASE("map and zip keep shape and dtype, pass symbolic tensors and refuse unequal shapes") {
  const Tensor x = Tensor::from<double>({2, 2}, {1, 2, 3, 4});
  auto square = [](auto v) {
    return v * v;
  };
  auto plus = [](auto a, auto b) {
    return a + b;
  };
  CHECK(map(x, square).to_vector() == std::vector<double>{1, 4, 9, 16});
  CHECK(zip(plus, x, x).shape() == Shape{2, 2});
  CHECK(map(Tensor::symbolic({3}), square).is_symbolic());
  CHECK_THROWS_WITH_AS(zip(plus, x, Tensor::zeros({2, 2})),
                       "zip: shapes must agree; got f64 [2, 2] and f32 [2, 2]", Error);
  CHECK_THROWS_WITH_AS(map(Tensor::zeros({1}, Dtype::i32), square), "map: dtype must be f32 or f64; got i32",
                       Error);
}
