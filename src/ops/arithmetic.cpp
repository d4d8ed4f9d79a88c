#include "qkv/ops/arithmetic.h"

#include "elementwise.h"

namespace qkv {
using namespace elementwise;
namespace {

const Op kAdd("add", [](GradSuite& g) {
  check_binary(g, [](const Var& a, const Var& b) { return a + b; });
  check_unary(g, [](const Var& x) { return 2.0 + x; });
});
const Op kSub("sub", [](GradSuite& g) {
  check_binary(g, [](const Var& a, const Var& b) { return a - b; });
  check_unary(g, [](const Var& x) { return (3.0 - x) - 1.0; });
});
const Op kMul("mul", [](GradSuite& g) {
  check_binary(g, [](const Var& a, const Var& b) { return a * b; });
  check_unary(g, [](const Var& x) { return 2.0 * x; });
});
const Op kDiv("div", [](GradSuite& g) {
  auto f = [](const Var& a, const Var& b) {
    return a / b;
  };
  check_binary(g, f, true);
  check_unary(
      g, [](const Var& x) { return (2.0 / x) / 3.0; }, 0.5, 2.0);
});
const Op kPow("pow", [](GradSuite& g) {
  check_binary(
      g, [](const Var& a, const Var& b) { return pow(a, b); }, true);
  for (double exponent : {-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0})
    check_unary(
        g, [=](const Var& x) { return pow(x, exponent); }, 0.5, 2.0);
});
const Op kNeg("neg", [](GradSuite& g) { check_unary(g, [](const Var& x) { return -x; }); });
const Op kSquare("square", [](GradSuite& g) { check_unary(g, square); });

}  // namespace

Var add(const Var& a, const Var& b) {
  check_dtypes("add", a, b);
  const Broadcast<2> plan("add", a.shape(), b.shape());
  Tensor y = combine(plan, a, b, [](auto u, auto v) { return u + v; });
  return record(kAdd, {a, b}, y, [=](const Tensor& dy, Sink& dx) {
    accumulate_sum<false>(plan, 0, dy, dx);
    accumulate_sum<false>(plan, 1, dy, dx);
  });
}

Var sub(const Var& a, const Var& b) {
  check_dtypes("sub", a, b);
  const Broadcast<2> plan("sub", a.shape(), b.shape());
  Tensor y = combine(plan, a, b, [](auto u, auto v) { return u - v; });
  return record(kSub, {a, b}, y, [=](const Tensor& dy, Sink& dx) {
    accumulate_sum<false>(plan, 0, dy, dx);
    accumulate_sum<true>(plan, 1, dy, dx);
  });
}

Var mul(const Var& a, const Var& b) {
  return of_pair(
      kMul, a, b, [](auto u, auto v) { return u * v; }, [](auto g, auto, auto v) { return g * v; },
      [](auto g, auto u, auto) { return g * u; });
}

Var div(const Var& a, const Var& b) {
  return of_pair(
      kDiv, a, b, [](auto u, auto v) { return u / v; }, [](auto g, auto, auto v) { return g / v; },
      [](auto g, auto u, auto v) { return -g * u / (v * v); });
}

Var pow(const Var& a, const Var& b) {
  // libm per element: exp(b log a) would be wrong for 0^0 and lose digits for large results.
  // da = b a^(b - 1) dy; db = a^b log(a) dy
  return of_pair(
      kPow, a, b,
      [](auto u, auto v) { return lanewise([](auto x, auto e) { return std::pow(x, e); }, u, v); },
      [](auto g, auto u, auto v) {
        return g * v * lanewise([](auto x, auto e) { return e == 0 ? e : std::pow(x, e - 1); }, u, v);
      },
      [](auto g, auto u, auto v) {
        return g * lanewise([](auto x, auto e) { return x > 0 ? std::pow(x, e) * std::log(x) : 0; }, u, v);
      });
}

Var add(const Var& x, double value) {
  check_dtype("add", x);
  Tensor y = map(x.value(), [=](auto v) { return v + lanes(v, value); });
  return record(kAdd, {x}, y, [](const Tensor& dy, Sink& dx) { dx.add(0, dy); });
}

Var sub(const Var& x, double value) {
  return add(x, -value);
}

Var sub(double value, const Var& x) {
  return of_input(
      kSub, x, [=](auto v) { return lanes(v, value) - v; }, [](auto g, auto) { return -g; });
}

Var mul(const Var& x, double value) {
  check_dtype("mul", x);
  auto scale = [=](auto v) {
    return v * lanes(v, value);
  };
  return record(kMul, {x}, map(x.value(), scale),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, map(dy, scale)); });
}

Var div(const Var& x, double value) {
  check_dtype("div", x);
  auto divide = [=](auto v) {
    return v / lanes(v, value);
  };
  return record(kDiv, {x}, map(x.value(), divide),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, map(dy, divide)); });
}

Var div(double value, const Var& x) {
  return of_input(
      kDiv, x, [=](auto v) { return lanes(v, value) / v; },
      [=](auto g, auto v) { return -g * lanes(v, value) / (v * v); });
}

Var pow(const Var& x, double exponent) {
  // d x^e = e x^(e - 1)
  if (exponent == -1) return div(1.0, x);
  if (exponent == 0.5)
    return of_input(
        kPow, x, [](auto v) { return xsimd::sqrt(v); },
        [](auto g, auto v) { return g * lanes(v, 0.5) / xsimd::sqrt(v); });
  if (exponent == 1) return mul(x, 1.0);
  if (exponent == 2) return square(x);
  if (exponent == 3)
    return of_input(
        kPow, x, [](auto v) { return v * v * v; }, [](auto g, auto v) { return g * lanes(v, 3) * v * v; });
  auto power = [](auto v, double e) {
    return lanewise([](auto u, auto w) { return std::pow(u, w); }, v, lanes(v, e));
  };
  return of_input(
      kPow, x, [=](auto v) { return power(v, exponent); },
      [=](auto g, auto v) {
        return exponent == 0 ? lanes(v, 0) : g * lanes(v, exponent) * power(v, exponent - 1);
      });
}

Var neg(const Var& x) {
  return of_input(
      kNeg, x, [](auto v) { return -v; }, [](auto g, auto) { return -g; });
}

Var square(const Var& x) {
  return of_input(
      kSquare, x, [](auto v) { return v * v; }, [](auto g, auto v) { return (g + g) * v; });
}

}  // namespace qkv
