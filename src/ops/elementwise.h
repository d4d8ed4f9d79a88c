// What elementwise ops share: unary and broadcasting binary ops from lambdas over batches, gradient checks.
#pragma once
#include <cmath>
#include <utility>

#include "qkv/autograd/gradcheck.h"
#include "tensor/broadcast.h"

namespace qkv::elementwise {

// Rows for an op of two operands, over all ways in which shapes meet. `positive` operands suit x / y, x^y.
template <class F>
void check_binary(GradSuite& g, F f, bool positive = false) {
  auto op = [f](const Vars& in) {
    return f(in[0], in[1]);
  };
  auto draw = [&](const Shape& shape) {
    return positive ? g.uniform(shape, 0.5, 2.0) : g.normal(shape);
  };
  g.check("same shape", {draw({3, 5}), draw({3, 5})}, op);
  g.check("bias", {draw({2, 3, 5}), draw({5})}, op);
  g.check("bias first", {draw({5}), draw({3, 5})}, op);
  g.check("column", {draw({3, 5}), draw({3, 1})}, op);
  g.check("column first", {draw({3, 1}), draw({3, 5})}, op);
  g.check("outer", {draw({3, 1}), draw({1, 5})}, op);
  g.check("middle axis", {draw({2, 3, 4}), draw({2, 1, 4})}, op);
  g.check("interleaved", {draw({2, 1, 3, 1}), draw({4, 1, 2})}, op);
  g.check("scalar", {draw({2, 3}), draw({})}, op);
  g.check("size 1", {draw({1}), draw({1, 1})}, op);
}

template <class F>
void check_unary(GradSuite& g, F f, double low = -2.0, double high = 2.0,
                 const GradSuite::Function& composed = {}) {
  auto op = [f](const Vars& in) {
    return f(in[0]);
  };
  g.check("matrix", {g.uniform({3, 7}, low, high)}, op, composed);
  g.check("size 1", {g.uniform({1}, low, high)}, op);
  g.check("scalar", {g.uniform({}, low, high)}, op);
}

inline void check_dtype(const char* op, const Var& x) {
  QKV_CHECK(x.dtype() != Dtype::i32, "{}: dtype must be f32 or f64; got i32", op);
}

inline void check_dtypes(const char* op, const Var& a, const Var& b) {
  QKV_CHECK(a.dtype() == b.dtype(), "{}: dtypes must agree; got a {} and b {}", op, a.dtype(), b.dtype());
  check_dtype(op, a);
}

inline const Tensor& symbolic_one(const Var& a, const Var& b) {
  return a.is_symbolic() ? a.value() : b.value();
}

// f(a, b) with broadcasting.
template <class F>
Tensor combine(const Broadcast<2>& plan, const Var& a, const Var& b, F f) {
  Tensor y = Tensor::result(plan.shape(), symbolic_one(a, b));
  if (y.is_symbolic()) return y;
  dispatch("combine", y.dtype(), [&](auto t) {
    using T = decltype(t);
    const T *pa = a.value().data<T>(), *pb = b.value().data<T>();
    T* out = y.data<T>();
    plan.rows([&](Index row, const Index* at) {
      const simd::Row<T> ra(pa + at[0], plan.step(0)), rb(pb + at[1], plan.step(1));
      simd::apply(plan.width(), out + row, ra, rb, f);
    });
  });
  return y;
}

// Gradient of operand `i`: f(dy, a, b), summed over the axes along which the operand is repeated.
template <class F>
void accumulate_gradient(const Broadcast<2>& plan, int i, const Tensor& dy, const Tensor& a, const Tensor& b,
                         Sink& dx, F f) {
  if (!dx.needs(i)) return;
  const bool sums = plan.repeats(i);
  Tensor d = sums ? dx.zeroed(i) : Tensor::empty(dx.shape(i), dy.dtype());
  dispatch("backward", dy.dtype(), [&](auto t) {
    using T = decltype(t);
    const T *pa = a.data<T>(), *pb = b.data<T>(), *pg = dy.data<T>();
    T* out = d.data<T>();
    const Index width = plan.width();
    plan.rows([&](Index row, const Index* at) {
      const simd::Row<T> ra(pa + at[0], plan.step(0)), rb(pb + at[1], plan.step(1)), rg(pg + row, 1);
      if (plan.step(i) == 0)
        out[at[i]] += simd::sum_of<T>(width, rg, ra, rb, f);
      else
        simd::apply_beta(sums ? 1 : 0, width, out + at[i], rg, ra, rb, f);
    });
  });
  if (!sums) dx.add(i, std::move(d));
}

// The same for f = dy or -dy, which needs no operand and, with equal shapes, no work.
template <bool negative>
void accumulate_sum(const Broadcast<2>& plan, int i, const Tensor& dy, Sink& dx) {
  if (!dx.needs(i)) return;
  if (!negative && dx.shape(i) == dy.shape()) return dx.add(i, dy);
  accumulate_gradient(plan, i, dy, dy, dy, dx, [](auto g, auto, auto) { return negative ? -g : g; });
}

// y = f(a, b) with broadcasting; da and db are functions of dy, a and b.
template <class F, class Da, class Db>
Var of_pair(const Op& op, const Var& a, const Var& b, F f, Da da, Db db) {
  check_dtypes(op.name, a, b);
  const Broadcast<2> plan(op.name, a.shape(), b.shape());
  return record(op, {a, b}, combine(plan, a, b, f),
                [=, va = a.value(), vb = b.value()](const Tensor& dy, Sink& dx) {
                  accumulate_gradient(plan, 0, dy, va, vb, dx, da);
                  accumulate_gradient(plan, 1, dy, va, vb, dx, db);
                });
}

// dx_i += f(in...) of tensors of its shape, in one pass.
template <class F, class... In>
void add_gradient(Sink& dx, int i, F f, const In&... in) {
  if (!dx.needs(i)) return;
  Sink::Buffer d = dx.buffer(i);
  dispatch("backward", d.gradient.dtype(), [&](auto t) {
    using T = decltype(t);
    simd::apply_beta(d.beta, d.gradient.size(), d.gradient.data<T>(), in.template data<T>()..., f);
  });
}

// The scalar as a batch of the type of `v`.
template <class B>
B lanes(B, double value) {
  return B(typename B::value_type(value));
}

// f of each pair of lanes, for functions that batches lack.
template <class F, class B>
B lanewise(F f, B a, B b) {
  using T = typename B::value_type;
  alignas(64) T u[B::size], v[B::size];
  a.store_aligned(u), b.store_aligned(v);
  for (std::size_t i = 0; i < B::size; i++) u[i] = T(f(u[i], v[i]));
  return xsimd::load_aligned(u);
}

// y = f(x), dx = derivative(dy, x).
template <class F, class D>
Var of_input(const Op& op, const Var& x, F f, D derivative) {
  check_dtype(op.name, x);
  return record(op, {x}, map(x.value(), f),
                [=, vx = x.value()](const Tensor& dy, Sink& dx) { dx.add(0, zip(derivative, dy, vx)); });
}

// y = f(x), dx = derivative(dy, y): x need not be kept.
template <class F, class D>
Var of_output(const Op& op, const Var& x, F f, D derivative) {
  check_dtype(op.name, x);
  Tensor y = map(x.value(), f);
  return record(op, {x}, y, [=](const Tensor& dy, Sink& dx) { dx.add(0, zip(derivative, dy, y)); });
}

// y = f(x) where `both` gives value and derivative of a batch. They share an exp, so while recording both are
// computed in one pass and the derivative is kept in place of x; backward is then a product. `both` says fma
// where it means it: left to the compiler, sharing could change the rounding of the value.
template <class F>
Var with_derivative(const Op& op, const Var& x, F both) {
  check_dtype(op.name, x);
  const Input input = x;
  if (x.is_symbolic() || !recording(&input, 1)) return map(x.value(), [=](auto v) { return both(v).first; });
  Tensor y = Tensor::empty(x.shape(), x.dtype()), d = Tensor::empty(x.shape(), x.dtype());
  dispatch(op.name, x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.value().data<T>();
    T *value = y.data<T>(), *slope = d.data<T>();
    simd::for_batches<T>(y.size(), [&](auto at) {
      const auto [v, s] = both(at.load(in));
      at.store(value, v), at.store(slope, s);
    });
  });
  return record(op, {x}, y, [d](const Tensor& dy, Sink& dx) {
    dx.add(0, zip([](auto g, auto s) { return g * s; }, dy, d));
  });
}

}  // namespace qkv::elementwise
