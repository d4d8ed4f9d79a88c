#include "qkv/ops/arithmetic.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "qkv/base/random.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Element of `t` that NumPy's rule puts at `position` of a result of shape `shape`, by index arithmetic.
double broadcast_at(const Tensor& t, const Shape& shape, Index position) {
  Index index = 0, stride = 1;
  for (int back = 1; back <= shape.rank(); back++) {
    const Index at = position % shape[-back];
    position /= shape[-back];
    if (back > t.rank()) continue;
    index += t.dim(-back) == 1 ? 0 : at * stride;
    stride *= t.dim(-back);
  }
  return t.at(index);
}

using Binary = Var (*)(const Var&, const Var&);

void check_against(Binary op, const std::function<double(double, double)>& formula) {
  const std::pair<Shape, Shape> shapes[] = {
      {{}, {}},        {{5}, {5}},       {{2, 3, 17}, {2, 3, 17}}, {{4, 33}, {33}},
      {{33}, {4, 33}}, {{4, 9}, {4, 1}}, {{4, 1}, {1, 9}},         {{2, 1, 3, 1}, {4, 1, 2}},
      {{3, 1, 5}, {}}, {{}, {3, 5}},     {{2, 3, 4}, {2, 1, 4}},   {{1, 1, 1}, {1}},
      {{0, 3}, {3}},   {{2, 0}, {2, 1}}, {{2, 3, 1, 4}, {3, 2, 1}}};
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const auto& [sa, sb] : shapes) {
      CAPTURE(sa.str());
      CAPTURE(sb.str());
      const Tensor a = uniform(sa, dtype, 1, 0.25, 2), b = uniform(sb, dtype, 2, 0.25, 2);
      const Tensor y = op(a, b).value();
      REQUIRE(y.shape() == broadcast("test", sa, sb));
      REQUIRE(y.dtype() == dtype);
      for (Index i = 0; i < y.size(); i++) {
        const double expected = formula(broadcast_at(a, y.shape(), i), broadcast_at(b, y.shape(), i));
        CHECK(y.at(i) == doctest::Approx(expected).epsilon(dtype == Dtype::f32 ? 1e-6 : 1e-14));
      }
    }
}

}  // namespace

TEST_CASE("binary ops agree with their formula for every way in which shapes broadcast") {
  check_against(add, [](double a, double b) { return a + b; });
  check_against(sub, [](double a, double b) { return a - b; });
  check_against(mul, [](double a, double b) { return a * b; });
  check_against(div, [](double a, double b) { return a / b; });
  check_against(pow, [](double a, double b) { return std::pow(a, b); });
  check_against(maximum, [](double a, double b) { return a > b ? a : b; });
  check_against(minimum, [](double a, double b) { return a < b ? a : b; });
  check_against([](const Var& a, const Var& b) { return a + b * a - a / b; },
                [](double a, double b) { return a + b * a - a / b; });
}

TEST_CASE("scalar operands give what tensors filled with the scalar give") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor x = uniform({3, 11}, dtype, 3, 0.5, 2);
    const Var full = Tensor::full({3, 11}, 1.75, dtype);
    const std::pair<Var, Var> pairs[] = {{x + 1.75, x + full},
                                         {1.75 + Var(x), x + full},
                                         {Var(x) - 1.75, x - full},
                                         {1.75 - Var(x), full - x},
                                         {Var(x) * 1.75, x * full},
                                         {1.75 * Var(x), x * full},
                                         {Var(x) / 1.75, x / full},
                                         {1.75 / Var(x), full / x},
                                         {pow(x, 1.75), pow(x, full)},
                                         {-Var(x), 0.0 - Var(x)},
                                         {square(x), Var(x) * Var(x)},
                                         {pow(x, 3), Var(x) * Var(x) * Var(x)},
                                         {pow(x, -1), 1.0 / Var(x)},
                                         {pow(x, 1), Var(x)},
                                         {pow(x, 0), Tensor::full({3, 11}, 1, dtype)},
                                         {pow(x, 2), Var(x) * Var(x)},
                                         {clip(x, 1, 1), Tensor::full({3, 11}, 1, dtype)}};
    for (const auto& [a, b] : pairs) CHECK(a.value().to_vector() == b.value().to_vector());
  }
}

TEST_CASE("where picks by condition with three-way broadcasting") {
  const Tensor c = Tensor::from<std::int32_t>({2, 1}, {1, 0});
  const Tensor a = Tensor::from<double>({3}, {1, 2, 3});
  CHECK(where(c, a, Tensor::scalar(-7, Dtype::f64)).value().to_vector() ==
        std::vector<double>{1, 2, 3, -7, -7, -7});
  const Tensor mask = Tensor::from<std::int32_t>({2, 3}, {1, 0, 2, 0, 0, -1});
  CHECK(where(mask, a, Tensor::scalar(9, Dtype::f64)).value().to_vector() ==
        std::vector<double>{1, 9, 3, 9, 9, 3});
  CHECK(where(mask, a, Tensor::from<double>({2, 3}, {4, 5, 6, 7, 8, 9})).value().to_vector() ==
        std::vector<double>{1, 5, 3, 7, 8, 3});
}

TEST_CASE("not-a-number operands show in the result wherever they stand") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Var x = Tensor::full({9}, nan, dtype), one = Tensor::full({9}, 1, dtype);
    for (const Var& y : {x + one, maximum(x, one), maximum(one, x), minimum(x, one), minimum(one, x),
                         clip(x, -1, 1), abs(x), pow(x, one)})
      for (double v : y.value().to_vector()) CHECK(std::isnan(v));
  }
  CHECK(pow(Tensor::from<double>({4}, {0, 0, -2, 2}), Tensor::from<double>({4}, {0, 2, 3, -1}))
            .value()
            .to_vector() == std::vector<double>{1, 0, -8, 0.5});
}

TEST_CASE("equal operands of maximum share the gradient, and |x| has none at 0") {
  Tape tape;
  const Var a = tape.variable(Tensor::from<double>({3}, {1, 2, 0}));
  const Var b = tape.variable(Tensor::from<double>({3}, {1, 1, 3}));
  Gradients g;
  tape.backward_from(maximum(a, b) + abs(a * 0.0), Tensor::full({3}, 1, Dtype::f64), g);
  CHECK(g.of(a).to_vector() == std::vector<double>{0.5, 1, 0});
  CHECK(g.of(b).to_vector() == std::vector<double>{0.5, 0, 1});
}

TEST_CASE("gradients of repeated operands keep their shape, also where the result is empty") {
  Tape tape;
  const Var a = tape.variable(Tensor::full({3}, 2)), b = tape.variable(Tensor::empty({0, 3}));
  Gradients g;
  tape.backward_from(a * b, Tensor::empty({0, 3}), g);
  CHECK(g.of(a).to_vector() == std::vector<double>{0, 0, 0});
  CHECK(g.of(b).shape() == Shape{0, 3});
}

TEST_CASE("symbolic operands give symbolic results of the right shape") {
  const Var x = Tensor::symbolic({4, 1}), y = Tensor::zeros({3});
  for (const Var& z : {x + y, y - x, x * y, x / y, pow(x, y), maximum(y, x),
                       where(Tensor::symbolic({1}, Dtype::i32), x, y)}) {
    CHECK(z.is_symbolic());
    CHECK(z.shape() == Shape{4, 3});
  }
  CHECK((2.0 * x).is_symbolic());
}

TEST_CASE("arithmetic names operands that do not fit") {
  const Var a = Tensor::zeros({2, 3}), b = Tensor::zeros({4}), d = Tensor::zeros({3}, Dtype::f64);
  const Var i = Tensor::zeros({3}, Dtype::i32);
  CHECK_THROWS_WITH_AS(a + b, "add: shapes must broadcast; got a [2, 3] and b [4]", Error);
  CHECK_THROWS_WITH_AS(a / d, "div: dtypes must agree; got a f32 and b f64", Error);
  CHECK_THROWS_WITH_AS(i * i, "mul: dtype must be f32 or f64; got i32", Error);
  CHECK_THROWS_WITH_AS(neg(i), "neg: dtype must be f32 or f64; got i32", Error);
  CHECK_THROWS_WITH_AS(where(Tensor::zeros({3}), a, a), "where: condition must be i32; got f32", Error);
}
