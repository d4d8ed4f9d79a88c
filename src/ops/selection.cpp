#include "qkv/ops/arithmetic.h"

#include "elementwise.h"

namespace qkv {
using namespace elementwise;
namespace {

// max and min give their second operand where either is nan; so that a nan always shows, pick u where it is
// nan.
template <class B>
B larger(B u, B v) {
  return xsimd::select(xsimd::isnan(u), u, xsimd::max(u, v));
}
template <class B>
B smaller(B u, B v) {
  return xsimd::select(xsimd::isnan(u), u, xsimd::min(u, v));
}

// g where an operand is chosen, g / 2 where both are equal, else 0.
template <class B, class Mask>
B share(B g, Mask chosen, Mask equal) {
  return xsimd::select(chosen, g, xsimd::select(equal, g * lanes(g, 0.5), lanes(g, 0)));
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

Var maximum(const Var& a, const Var& b) {
  return of_pair(
      kMaximum, a, b, [](auto u, auto v) { return larger(u, v); },
      [](auto g, auto u, auto v) { return share(g, u > v, u == v); },
      [](auto g, auto u, auto v) { return share(g, v > u, u == v); });
}

Var minimum(const Var& a, const Var& b) {
  return of_pair(
      kMinimum, a, b, [](auto u, auto v) { return smaller(u, v); },
      [](auto g, auto u, auto v) { return share(g, u < v, u == v); },
      [](auto g, auto u, auto v) { return share(g, v < u, u == v); });
}

Var where(const Tensor& condition, const Var& a, const Var& b) {
  check_dtypes("where", a, b);
  QKV_CHECK(condition.dtype() == Dtype::i32, "where: condition must be i32; got {}", condition.dtype());
  const Broadcast<3> plan("where", condition.shape(), a.shape(), b.shape());
  Tensor y =
      Tensor::result(plan.shape(), condition.is_symbolic() ? condition : symbolic_one(a, b), a.dtype());
  if (!y.is_symbolic())
    dispatch("where", y.dtype(), [&](auto t) {
      using T = decltype(t);
      const std::int32_t* pc = condition.data<std::int32_t>();
      const T *pa = a.value().data<T>(), *pb = b.value().data<T>();
      T* out = y.data<T>();
      const Index width = plan.width(), sc = plan.step(0), sa = plan.step(1), sb = plan.step(2);
      plan.rows([&](Index row, const Index* at) {
        const std::int32_t* c = pc + at[0];
        const T *u = pa + at[1], *v = pb + at[2];
        T* to = out + row;
        if (sc && sa && !sb) {  // fill where masked
          const T value = *v;
          for (Index i = 0; i < width; i++) to[i] = c[i] ? u[i] : value;
        } else if (sc && sa) {
          for (Index i = 0; i < width; i++) to[i] = c[i] ? u[i] : v[i];
        } else {
          for (Index i = 0; i < width; i++) to[i] = c[i * sc] ? u[i * sa] : v[i * sb];
        }
      });
    });
  return record(kWhere, {a, b}, y, [=](const Tensor& dy, Sink& dx) {
    for (int k = 0; k < 2; k++) {
      if (!dx.needs(k)) continue;
      Tensor d = dx.zeroed(k);
      dispatch("where", dy.dtype(), [&](auto t) {
        using T = decltype(t);
        const std::int32_t* pc = condition.data<std::int32_t>();
        const Index width = plan.width(), sc = plan.step(0), sd = plan.step(k + 1);
        plan.rows([&](Index row, const Index* at) {
          const std::int32_t* c = pc + at[0];
          const T* g = dy.data<T>() + row;
          T* to = d.data<T>() + at[k + 1];
          if (sc && sd)
            for (Index i = 0; i < width; i++) to[i] += (c[i] != 0) == (k == 0) ? g[i] : T(0);
          else
            for (Index i = 0; i < width; i++) to[i * sd] += (c[i * sc] != 0) == (k == 0) ? g[i] : T(0);
        });
      });
    }
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

Var clip(const Var& x, double low, double high) {  // x comes second in max and min: nan stays nan
  return of_input(
      kClip, x, [=](auto v) { return xsimd::min(lanes(v, high), xsimd::max(lanes(v, low), v)); },
      [=](auto g, auto v) {
        return xsimd::select(v >= lanes(v, low) && v <= lanes(v, high), g, lanes(v, 0));
      });
}

}  // namespace qkv
