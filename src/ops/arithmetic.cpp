#include "qkv/ops/arithmetic.h"

#include "autograd/trace.h"
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

// a + b or a - b
template <bool minus>
Var sum_of_pair(const Op& op, const Var& a, const Var& b) {
  check_dtypes(op.name, a, b);
  const Broadcast<2> plan(op.name, a.shape(), b.shape());
  Tensor y = combine(plan, a, b, [](auto u, auto v) { return minus ? u - v : u + v; });
  return record(op, {a, b}, y, [=](const Tensor& dy, Sink& dx) {
    accumulate_sum<false>(plan, 0, dy, dx);
    accumulate_sum<minus>(plan, 1, dy, dx);
  });
}

// y = f(x), f being linear: dx = f(dy).
template <class F>
Var linear_map(const Op& op, const Var& x, F f) {
  check_dtype(op.name, x);
  return record(op, {x}, map(x.value(), f), [=](const Tensor& dy, Sink& dx) { dx.add(0, map(dy, f)); });
}

// g where an operand is chosen, g / 2 where both are equal, else 0.
template <class B, class Mask>
B share(B g, Mask chosen, Mask equal) {
  return xsimd::select(chosen, g, xsimd::select(equal, g * lanes(g, 0.5), lanes(g, 0)));
}

// max and min give their second operand where either is nan; so that a nan always shows, pick u if it is one.
template <bool larger>
Var extreme_of_pair(const Op& op, const Var& a, const Var& b) {
  auto chosen = [](auto u, auto v) {
    return larger ? u > v : u < v;
  };
  return of_pair(
      op, a, b,
      [](auto u, auto v) {
        return xsimd::select(xsimd::isnan(u), u, larger ? xsimd::max(u, v) : xsimd::min(u, v));
      },
      [=](auto g, auto u, auto v) { return share(g, chosen(u, v), u == v); },
      [=](auto g, auto u, auto v) { return share(g, chosen(v, u), u == v); });
}

const Op kMaximum("maximum", [](GradSuite& g) { check_binary(g, maximum); });
const Op kMinimum("minimum", [](GradSuite& g) { check_binary(g, minimum); });
const Op kWhere("where", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& condition, const Shape& a, const Shape& b) {
    const Tensor c = g.ids(condition, 2);
    g.check(label, {g.normal(a), g.normal(b)}, [c](const Vars& in) { return where(c, in[0], in[1]); });
  };
  check("same shape", {3, 5}, {3, 5}, {3, 5});
  check("scalar operand", {2, 3}, {2, 3}, {});
  check("broadcast condition", {3}, {2, 1}, {2, 3});
  check("condition is largest", {2, 3, 4}, {4}, {3, 1});
  check("size 1", {1}, {1}, {1});
});
const Op kAbs("abs", [](GradSuite& g) { check_unary(g, [](const Var& x) { return abs(x); }); });
const Op kClip("clip", [](GradSuite& g) { check_unary(g, [](const Var& x) { return clip(x, -0.5, 1.0); }); });

}  // namespace

Var add(const Var& a, const Var& b) {
  return sum_of_pair<false>(kAdd, a, b);
}

Var sub(const Var& a, const Var& b) {
  return sum_of_pair<true>(kSub, a, b);
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
  Note()("right", value);
  return record(kAdd, {x}, y, [](const Tensor& dy, Sink& dx) { dx.add(0, dy); });
}

Var sub(const Var& x, double value) {
  return add(x, -value);
}

Var sub(double value, const Var& x) {
  Note()("left", value);
  return of_input(
      kSub, x, [=](auto v) { return lanes(v, value) - v; }, [](auto g, auto) { return -g; });
}

Var mul(const Var& x, double value) {
  Note()("right", value);
  return linear_map(kMul, x, [=](auto v) { return v * lanes(v, value); });
}

Var div(const Var& x, double value) {
  Note()("right", value);
  return linear_map(kDiv, x, [=](auto v) { return v / lanes(v, value); });
}

Var div(double value, const Var& x) {
  Note()("left", value);
  return of_input(
      kDiv, x, [=](auto v) { return lanes(v, value) / v; },
      [=](auto g, auto v) { return -g * lanes(v, value) / (v * v); });
}

Var pow(const Var& x, double exponent) {
  // d x^e = e x^(e - 1)
  if (exponent == -1) return div(1.0, x);
  if (exponent == 1) return mul(x, 1.0);
  if (exponent == 2) return square(x);
  Note()("right", exponent);
  if (exponent == 0.5)
    return of_input(
        kPow, x, [](auto v) { return xsimd::sqrt(v); },
        [](auto g, auto v) { return g * lanes(v, 0.5) / xsimd::sqrt(v); });
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
  return linear_map(kNeg, x, [](auto v) { return -v; });
}

Var square(const Var& x) {
  return of_input(
      kSquare, x, [](auto v) { return v * v; }, [](auto g, auto v) { return (g + g) * v; });
}

Var maximum(const Var& a, const Var& b) {
  return extreme_of_pair<true>(kMaximum, a, b);
}

Var minimum(const Var& a, const Var& b) {
  return extreme_of_pair<false>(kMinimum, a, b);
}

Var where(const Tensor& condition, const Var& a, const Var& b) {
  check_dtypes("where", a, b);
  QKV_CHECK(condition.dtype() == Dtype::i32, "where: condition must be i32; got {}", condition.dtype());
  const Broadcast<3> plan("where", condition.shape(), a.shape(), b.shape());
  if (condition.is_symbolic() || a.is_symbolic() || b.is_symbolic())
    return Tensor::symbolic(plan.shape(), a.dtype());
  return dispatch("where", a.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::empty(plan.shape(), a.dtype());
    const std::int32_t* pc = condition.data<std::int32_t>();
    const T *pa = a.value().data<T>(), *pb = b.value().data<T>();
    const Index width = plan.width(), sc = plan.step(0), sa = plan.step(1), sb = plan.step(2);
    plan.rows([&](Index row, const Index* at) {
      const std::int32_t* c = pc + at[0];
      const T *u = pa + at[1], *v = pb + at[2];
      T* to = y.data<T>() + row;
      for (Index i = 0; i < width; i++) to[i] = c[i * sc] ? u[i * sa] : v[i * sb];
    });
    Note()("condition", condition);
    return record(kWhere, {a, b}, y, [=](const Tensor& dy, Sink& dx) {
      const std::int32_t* pc = condition.data<std::int32_t>();
      for (int k = 0; k < 2; k++) {
        if (!dx.needs(k)) continue;
        Tensor d = dx.zeroed(k);
        const Index sd = plan.step(k + 1);
        plan.rows([&](Index row, const Index* at) {
          const std::int32_t* c = pc + at[0];
          const T* g = dy.data<T>() + row;
          T* to = d.data<T>() + at[k + 1];
          for (Index i = 0; i < width; i++) to[i * sd] += (c[i * sc] != 0) == (k == 0) ? g[i] : T(0);
        });
      }
    });
  });
}

Var abs(const Var& x) {
  return of_input(
      kAbs, x, [](auto v) { return xsimd::abs(v); },
      [](auto g, auto v) {
        const auto zero = lanes(v, 0);
        return xsimd::select(v > zero, g, xsimd::select(v < zero, -g, zero));
      });
}

Var clip(const Var& x, double low, double high) {
  Note()("low", low)("high", high);
  // x comes second in max and min: nan stays nan
  return of_input(
      kClip, x, [=](auto v) { return xsimd::min(lanes(v, high), xsimd::max(lanes(v, low), v)); },
      [=](auto g, auto v) {
        return xsimd::select(v >= lanes(v, low) && v <= lanes(v, high), g, lanes(v, 0));
      });
}

}  // namespace qkv
