#include "qkv/ops/activations.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

using namespace qkv;

namespace {

// Compares over a grid that includes large arguments; the error is relative where |y| > floor.
void check(const std::function<Var(const Var&)>& op, const std::function<double(double)>& formula, double low,
           double high, double floor = 1e-2) {
  const Index n = 1003;
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    Tensor x = Tensor::empty({n}, Dtype::f64);
    for (Index i = 0; i < n; i++)
      x.data<double>()[i] = low + (high - low) * static_cast<double>(i) / static_cast<double>(n - 1);
    x = x.to(dtype);
    const Tensor y = op(x).value();
    REQUIRE(y.dtype() == dtype);
    double worst = 0;
    for (Index i = 0; i < n; i++) {
      const double expected = formula(x.at(i));
      worst = std::max(worst, std::abs(y.at(i) - expected) / std::max(floor, std::abs(expected)));
    }
    CHECK(worst < (dtype == Dtype::f32 ? 2e-6 : 1e-13));
  }
}

double logistic(double v) {
  return 1 / (1 + std::exp(-v));
}

}  // namespace

TEST_CASE("activations agree with their formulas in libm") {
  auto unary = [](Var (*f)(const Var&)) {
    return std::function<Var(const Var&)>(f);
  };
  check(
      unary(exp), [](double v) { return std::exp(v); }, -20, 20);
  check(
      unary(log), [](double v) { return std::log(v); }, 1e-3, 100);
  check(
      unary(sqrt), [](double v) { return std::sqrt(v); }, 0, 100);
  check(
      unary(tanh), [](double v) { return std::tanh(v); }, -12, 12);
  check(
      unary(erf), [](double v) { return std::erf(v); }, -7, 7);
  check(unary(sigmoid), logistic, -50, 50);
  check(
      unary(relu), [](double v) { return v > 0 ? v : 0; }, -3, 3);
  check(
      unary(relu_squared), [](double v) { return v > 0 ? v * v : 0; }, -3, 3);
  check([](const Var& x) { return softcap(x, 15.0); }, [](double v) { return 15 * std::tanh(v / 15); }, -200,
        200);
  check(
      unary(softplus), [](double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v))); }, -60,
      60);
  check([](const Var& x) { return leaky_relu(x, 0.2); }, [](double v) { return v > 0 ? v : 0.2 * v; }, -3, 3);
  check([](const Var& x) { return elu(x, 1.5); }, [](double v) { return v > 0 ? v : 1.5 * std::expm1(v); },
        -9, 3);
  check([](const Var& x) { return gelu(x); },
        [](double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }, -9, 9,
        1);  // 1 + erf cancels for negative arguments
  check([](const Var& x) { return gelu(x, GeluForm::tanh); },
        [](double v) {
          return 0.5 * v * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v)));
        },
        -9, 9);
  check([](const Var& x) { return silu(x); }, [](double v) { return v * logistic(v); }, -50, 50);
  check([](const Var& x) { return silu(x, 1.7); }, [](double v) { return v * logistic(1.7 * v); }, -50, 50);
  check([](const Var& x) { return swiglu(x, x, 1.7); }, [](double v) { return v * v * logistic(1.7 * v); },
        -9, 9);
}

TEST_CASE("activations keep their limits at huge arguments and show not-a-number") {
  const double inf = std::numeric_limits<double>::infinity();
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Var x = Tensor::from<double>({4}, {-1e4, 1e4, -inf, inf}).to(dtype);
    auto values = [&](const Var& y) {
      return y.value().to_vector();
    };
    CHECK(values(exp(x)) == std::vector<double>{0, inf, 0, inf});
    CHECK(values(tanh(x)) == std::vector<double>{-1, 1, -1, 1});
    CHECK(values(erf(x)) == std::vector<double>{-1, 1, -1, 1});
    CHECK(values(sigmoid(x)) == std::vector<double>{0, 1, 0, 1});
    CHECK(values(relu(x)) == std::vector<double>{0, 1e4, 0, inf});
    CHECK(values(relu_squared(x)) == std::vector<double>{0, 1e8, 0, inf});
    CHECK(values(softcap(x, 30.0)) == std::vector<double>{-30, 30, -30, 30});
    CHECK(values(softplus(x)) == std::vector<double>{0, 1e4, 0, inf});
    CHECK(values(elu(x)) == std::vector<double>{-1, 1e4, -1, inf});
    const Var large = Tensor::from<double>({2}, {-1e4, 1e4}).to(dtype);
    for (const Var& y : {gelu(large), gelu(large, GeluForm::tanh), silu(large)})
      CHECK(values(y) == std::vector<double>{0, 1e4});
    const Var nan = Tensor::full({9}, std::nan(""), dtype);
    for (const Var& y : {exp(nan), log(nan), sqrt(nan), tanh(nan), erf(nan), sigmoid(nan), relu(nan),
                         leaky_relu(nan), elu(nan), softplus(nan), gelu(nan), gelu(nan, GeluForm::tanh),
                         silu(nan), swiglu(nan, nan), relu_squared(nan), softcap(nan, 30.0)})
      for (double v : values(y)) CHECK(std::isnan(v));
  }
}

TEST_CASE("the value of an element does not depend on where it stands") {
  for (Index n : {1, 3, 7, 8, 15, 16, 17, 31}) {
    const Tensor y = gelu(Tensor::full({n}, 0.7310586, Dtype::f32)).value();
    for (Index i = 0; i < n; i++) CHECK(y.at(i) == gelu(Tensor::full({1}, 0.7310586)).value().at(0));
  }
}

TEST_CASE("recording changes no bit of a value") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const auto& f :
         {+[](const Var& x) { return gelu(x); }, +[](const Var& x) { return gelu(x, GeluForm::tanh); },
          +[](const Var& x) { return silu(x, 1.3); },
          +[](const Var& x) {
            return swiglu(x, x, 1.3);
          }}) {
      Tensor x = Tensor::empty({1001}, Dtype::f64);
      for (Index i = 0; i < x.size(); i++) x.data<double>()[i] = 0.01 * static_cast<double>(i) - 5;
      x = x.to(dtype);
      Tape tape;
      CHECK(f(tape.variable(x)).value().to_vector() == f(x).value().to_vector());
    }
}

TEST_CASE("activations pass symbolic and empty tensors through and reject integers") {
  CHECK(gelu(Tensor::symbolic({2, 3})).is_symbolic());
  CHECK(tanh(Tensor::empty({0, 3})).shape() == Shape{0, 3});
  CHECK_THROWS_WITH_AS(softcap(Tensor::zeros({3}), 0.0), "softcap: cap must be positive; got 0", Error);
  CHECK_THROWS_WITH_AS(exp(Tensor::zeros({3}, Dtype::i32)), "exp: dtype must be f32 or f64; got i32", Error);
  CHECK_THROWS_WITH_AS(swiglu(Tensor::zeros({3}), Tensor::zeros({2})),
                       "swiglu: shapes must agree; got gate f32 [3], up f32 [2]", Error);
}
