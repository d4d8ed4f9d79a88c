// Functions along one axis: softmax, its logarithm, cumulative sums.
#include "qkv/ops/reduce.h"

#include "autograd/trace.h"
#include "copy.h"
#include "elementwise.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
using namespace elementwise;
using copying::AxisView;
namespace {

using Along = Var (*)(const Var& x, int axis);

// The definitions, from separate ops.
Var softmax_composed(const Var& x, int axis) {
  const Var e = exp(x - max(x, axis, true));
  return e / sum(e, axis, true);
}
Var log_softmax_composed(const Var& x, int axis) {
  return x - logsumexp(x, axis, true);
}

// y = (x - top) - log(sum(exp(x - top)))
template <class T>
void log_softmax_row(Index n, const T* x, T* y) {
  const auto of = simd::log_sum_exp(n, x);
  if (of.empty()) return void(std::fill_n(y, n, of.top));
  const simd::Batch<T> top(of.top), log_sum(std::log(of.sum));
  simd::apply(n, y, x, [&](auto v) { return v - top - log_sum; });
}

// dx = dy - exp(y) sum(dy); nothing comes from a row of -inf
template <class T>
void log_softmax_gradient(Index n, const T* y, const T* dy, double beta, T* dx) {
  const bool empty = n == 0 || simd::max(n, y) == -std::numeric_limits<T>::infinity();
  const simd::Batch<T> total(simd::sum(n, dy)), none(T(0));
  if (empty)
    simd::apply_beta(beta, n, dx, y, [&](auto) { return none; });
  else
    simd::apply_beta(beta, n, dx, y, dy, [&](auto v, auto g) { return g - simd::exp(v) * total; });
}

// value(n, x, y) for each row of the last axis, gradient(n, y, dy, beta, dx) for its backward. Other axes are
// brought there and back.
template <class F, class D>
Var each_row(const Op& op, const Var& x, int axis, F value, D gradient) {
  const AxisView view(op.name, x.shape(), axis);
  if (view.inner != 1) return transpose(each_row(op, transpose(x, axis, -1), -1, value, gradient), axis, -1);
  const Index n = view.n, rows = view.outer;
  if (x.is_symbolic()) return Tensor::symbolic(x.shape(), x.dtype());
  return dispatch(op.name, x.dtype(), [&](auto t) -> Var {
    using T = decltype(t);
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    for (Index r = 0; r < rows; r++) value(n, x.value().data<T>() + r * n, y.data<T>() + r * n);
    return record(op, {x}, y, [=](const Tensor& dy, Sink& dx) {
      Sink::Buffer d = dx.buffer(0);
      for (Index i = 0; i < rows * n; i += n)
        gradient(n, y.data<T>() + i, dy.data<T>() + i, d.beta, d.gradient.data<T>() + i);
    });
  });
}

void check_axes(GradSuite& g, Along op, Along composed) {
  auto check = [&](const char* label, const Shape& shape, int axis, double scale = 1.0) {
    g.check(
        label, {g.normal(shape, scale)}, [=](const Vars& in) { return op(in[0], axis); },
        [=](const Vars& in) { return composed(in[0], axis); });
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

const Op kSoftmax("softmax", [](GradSuite& g) { check_axes(g, softmax, softmax_composed); });
const Op kLogSoftmax("log_softmax", [](GradSuite& g) { check_axes(g, log_softmax, log_softmax_composed); });

const Op kCumsum("cumsum", [](GradSuite& g) {
  for (bool exclusive : {false, true})
    for (bool reverse : {false, true})
      for (int axis : {0, 1, -1})
        g.check("cube", {g.normal({2, 3, 4})},
                [=](const Vars& in) { return cumsum(in[0], axis, exclusive, reverse) + in[0]; });
  g.check("size 1", {g.normal({1})}, [=](const Vars& in) { return cumsum(in[0], 0); });
});

Tensor running_sum(const Tensor& x, const AxisView& view, bool exclusive, bool reverse) {
  Tensor y = Tensor::result(x.shape(), x);
  if (y.is_symbolic()) return y;
  const Index outer = view.outer, n = view.n, inner = view.inner;
  Tensor carry = Tensor::empty({inner}, Dtype::f64);
  double* total = carry.data<double>();
  dispatch("cumsum", x.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index i = 0; i < outer; i++) {
      carry.fill(0);
      for (Index k = 0; k < n; k++) {
        const Index at = (i * n + (reverse ? n - 1 - k : k)) * inner;
        const T* in = x.data<T>() + at;
        T* out = y.data<T>() + at;
        for (Index j = 0; j < inner; j++) {
          const double before = total[j];
          total[j] += double(in[j]);
          out[j] = T(exclusive ? before : total[j]);
        }
      }
    }
  });
  return y;
}

}  // namespace

Var softmax(const Var& x, int axis) {
  return each_row(
      kSoftmax, x, axis, [](Index n, auto* x, auto* y) { simd::softmax_row(n, x, y); },
      [](Index n, auto* y, auto* dy, double beta, auto* dx) { simd::softmax_gradient(n, y, dy, beta, dx); });
}

Var log_softmax(const Var& x, int axis) {
  return each_row(
      kLogSoftmax, x, axis, [](Index n, auto* x, auto* y) { log_softmax_row(n, x, y); },
      [](Index n, auto* y, auto* dy, double beta, auto* dx) { log_softmax_gradient(n, y, dy, beta, dx); });
}

Var cumsum(const Var& x, int axis, bool exclusive, bool reverse) {
  check_dtype("cumsum", x);
  const AxisView view("cumsum", x.shape(), axis);
  Note()("axis", view.axis)("exclusive", exclusive)("reverse", reverse);
  return record(kCumsum, {x}, running_sum(x.value(), view, exclusive, reverse),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, running_sum(dy, view, exclusive, !reverse)); });
}

}  // namespace qkv
