#include "qkv/ops/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "qkv/autograd/gradcheck.h"
#include "qkv/tensor/simd.h"

namespace qkv {
namespace {

void gradcheck_axes(GradSuite& g, Var (*op)(const Var&, int)) {
  auto check = [&](const char* label, const Shape& shape, int axis, double scale = 1.0) {
    g.check(label, {g.normal(shape, scale)}, [=](const std::vector<Var>& in) { return op(in[0], axis); });
  };
  check("vector", {5}, -1);
  check("last axis", {2, 3, 9}, -1);
  check("middle axis", {2, 3, 4}, 1);
  check("first axis", {3, 2}, 0);
  check("negative axis", {2, 3, 2}, -2);
  check("spread logits", {2, 4}, -1, 20.0);
  check("size 1", {2, 1}, -1);
  check("size 1, strided", {2, 1, 3}, 1);
}
const Op kSoftmax("softmax", [](GradSuite& g) { gradcheck_axes(g, softmax); });
const Op kLogSoftmax("log_softmax", [](GradSuite& g) { gradcheck_axes(g, log_softmax); });

// The axis of length n in the middle of [outer, n, inner].
struct Plan {
  Index outer, n, inner;
  Plan(const char* op, const Shape& x, int axis) {
    const int rank = x.rank(), a = axis < 0 ? axis + rank : axis;
    QKV_CHECK(a >= 0 && a < rank, "{}: axis must be in [{}, {}); got {} for x {}", op, -rank, rank, axis, x);
    outer = x.size_of(0, a), n = x[a], inner = x.size_of(a + 1, rank);
  }
};

template <class T>
constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

// True for a row of -inf throughout; `top` is its maximum. A maximum may step over a NaN, a sum does not.
template <class T>
bool empty_row(Index n, const T* x, T top) {
  return top == kMinusInfinity<T> && !std::isnan(simd::sum<T>(
                                         n, [](auto v) { return v; }, x));
}

// y = exp(x - top) / sum(exp(x - top)), or its logarithm (x - top) - log(sum(exp(x - top)))
template <class T>
void forward_row(Index n, bool log, const T* x, T* y) {
  const T top = simd::max(n, x);
  if (empty_row(n, x, top)) return std::fill_n(y, n, log ? top : T(0)), void();
  const simd::Batch<T> shift(top);
  if (log) {
    const simd::Batch<T> log_sum(std::log(simd::sum<T>(
        n, [&](auto v) { return simd::exp(v - shift); }, x)));
    simd::apply<T>(
        n, y, [&](auto v) { return v - shift - log_sum; }, x);
  } else {
    simd::apply<T>(
        n, y, [&](auto v) { return simd::exp(v - shift); }, x);
    const simd::Batch<T> inverse(T(1) / simd::sum<T>(
                                            n, [](auto v) { return v; }, y));
    simd::apply<T>(
        n, y, [&](auto v) { return v * inverse; }, y);
  }
}

// softmax: dx = y (dy - sum(y dy)); log_softmax: dx = dy - exp(y) sum(dy)
template <class T>
void backward_row(Index n, bool log, const T* y, const T* dy, double beta, T* dx) {
  if (log) {
    if (y[0] == kMinusInfinity<T> && empty_row(n, y, simd::max(n, y)))
      return beta == 0.0 ? void(std::fill_n(dx, n, T(0))) : void();
    const simd::Batch<T> total(simd::sum<T>(
        n, [](auto g) { return g; }, dy));
    simd::apply_beta<T>(
        beta, n, dx, [&](auto v, auto g) { return g - simd::exp(v) * total; }, y, dy);
  } else {
    const simd::Batch<T> mean(simd::sum<T>(
        n, [](auto v, auto g) { return v * g; }, y, dy));
    simd::apply_beta<T>(
        beta, n, dx, [&](auto v, auto g) { return v * (g - mean); }, y, dy);
  }
}

// Lines along an inner axis are copied to rows and back, kColumns at a time, so that one row kernel serves
// every axis and memory is read by whole cache lines.
constexpr Index kColumns = 16;

template <class T>
void gather(const Plan& p, Index columns, const T* strided, T* rows) {
  for (Index i = 0; i < p.n; i++)
    for (Index j = 0; j < columns; j++) rows[j * p.n + i] = strided[i * p.inner + j];
}
template <class T>
void scatter(const Plan& p, Index columns, const T* rows, double beta, T* strided) {
  for (Index i = 0; i < p.n; i++)
    for (Index j = 0; j < columns; j++) {
      T& to = strided[i * p.inner + j];
      to = beta == 0.0 ? rows[j * p.n + i] : to + rows[j * p.n + i];
    }
}

// Calls f(first element, columns) for every block of lines.
template <class F>
void each_block(const Plan& p, F f) {
  for (Index o = 0; o < p.outer; o++)
    for (Index j = 0; j < p.inner; j += kColumns) f(o * p.n * p.inner + j, std::min(kColumns, p.inner - j));
}

template <class T>
void forward(const Plan& p, bool log, const T* x, T* y) {
  if (p.n == 0) return;
  if (p.inner == 1) {
    for (Index r = 0; r < p.outer; r++) forward_row(p.n, log, x + r * p.n, y + r * p.n);
    return;
  }
  Tensor scratch = Tensor::empty({kColumns, p.n}, DtypeOf<T>::value);
  T* rows = scratch.data<T>();
  each_block(p, [&](Index at, Index columns) {
    gather(p, columns, x + at, rows);
    for (Index j = 0; j < columns; j++) forward_row(p.n, log, rows + j * p.n, rows + j * p.n);
    scatter(p, columns, rows, 0.0, y + at);
  });
}

template <class T>
void backward(const Plan& p, bool log, const T* y, const T* dy, double beta, T* dx) {
  if (p.n == 0) return;
  if (p.inner == 1) {
    for (Index r = 0; r < p.outer; r++) backward_row(p.n, log, y + r * p.n, dy + r * p.n, beta, dx + r * p.n);
    return;
  }
  Tensor scratch = Tensor::empty({2, kColumns, p.n}, DtypeOf<T>::value);
  T *y_rows = scratch.data<T>(), *rows = y_rows + kColumns * p.n;
  each_block(p, [&](Index at, Index columns) {
    gather(p, columns, y + at, y_rows);
    gather(p, columns, dy + at, rows);
    for (Index j = 0; j < columns; j++)
      backward_row(p.n, log, y_rows + j * p.n, rows + j * p.n, 0.0, rows + j * p.n);
    scatter(p, columns, rows, beta, dx + at);
  });
}

Var run(const Op& op, const Var& x, int axis, bool log) {
  const Plan plan(op.name, x.shape(), axis);
  Tensor y = Tensor::result(x.shape(), x.value());
  if (!y.is_symbolic())
    dispatch(op.name, x.dtype(), [&](auto t) {
      using T = decltype(t);
      forward<T>(plan, log, x.value().data<T>(), y.data<T>());
    });
  return record(op, {x}, y, [=](const Tensor& dy, Sink& dx) {
    dispatch("softmax", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      Sink::Buffer d = dx.buffer(0);
      backward<T>(plan, log, y.data<T>(), dy.data<T>(), d.beta, d.gradient.data<T>());
    });
  });
}

}  // namespace

Var softmax(const Var& x, int axis) {
  return run(kSoftmax, x, axis, false);
}

Var log_softmax(const Var& x, int axis) {
  return run(kLogSoftmax, x, axis, true);
}

}  // namespace qkv
