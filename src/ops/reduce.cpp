#include "qkv/ops/reduce.h"

#include <cmath>

#include "reduction.h"

namespace qkv {
using namespace reduction;
namespace {

const Op kSum("sum", [](GradSuite& g) { check_reduction(g, sum); });
const Op kMean("mean", [](GradSuite& g) { check_reduction(g, mean); });
const Op kLogsumexp("logsumexp", [](GradSuite& g) { check_reduction(g, logsumexp); });

// total[o] += sum of f(x[i], s[o]), in T over at most kBlock elements, else in f64.
constexpr Index kBlock = 256;
template <class T, class F>
void accumulate(const Broadcast<2>& pairs, const T* x, const T* s, double* total, F f) {
  pairs.rows([&](Index row, const Index* at) {
    T part[kBlock];
    for (Index begin = 0; begin < pairs.width(); begin += kBlock) {
      const Index n = std::min(kBlock, pairs.width() - begin), o = at[1] + begin * pairs.step(1);
      const simd::Row<T> rx(x + row + begin, 1), rs(s + o, pairs.step(1));
      if (pairs.step(1) == 0) {
        total[o] += double(simd::sum_of<T>(n, rx, rs, f));
      } else {
        simd::apply(n, part, rx, rs, f);
        for (Index j = 0; j < n; j++) total[o + j] += double(part[j]);
      }
    }
  });
}

// The result of `y`'s dtype from totals in f64.
template <class F>
Tensor finish(const Reduction& plan, const Tensor& total, Dtype dtype, F f) {
  Tensor y = Tensor::empty(plan.y, dtype);
  dispatch("reduce", dtype, [&](auto t) {
    using T = decltype(t);
    const double* in = total.data<double>();
    for (Index o = 0; o < y.size(); o++) y.data<T>()[o] = T(f(in[o], o));
  });
  return y;
}

Tensor scaled_sum(const Reduction& plan, const Tensor& x, double factor) {
  if (x.is_symbolic()) return Tensor::symbolic(plan.y, x.dtype());
  Tensor total = Tensor::zeros(plan.kept, Dtype::f64);
  dispatch("reduce", x.dtype(), [&](auto t) {
    using T = decltype(t);
    // there is no second operand: any memory as large as the result will do
    accumulate<T>(plan.pairs(x.shape()), x.data<T>(), x.data<T>(), total.data<double>(),
                  [](auto v, auto) { return v; });
  });
  return finish(plan, total, x.dtype(), [=](double v, Index) { return v * factor; });
}

// f(dy[o]), one value per result, repeated for the elements it came from.
Tensor broadcast_gradient(const Reduction& plan, const Shape& shape, const Tensor& dy, double factor) {
  Tensor d = Tensor::empty(shape, dy.dtype());
  const Broadcast<2> pairs = plan.pairs(shape);
  dispatch("reduce", dy.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* g = dy.data<T>();
    T* out = d.data<T>();
    pairs.rows([&](Index row, const Index* at) {
      simd::apply(pairs.width(), out + row, simd::Row<T>(g + at[1], pairs.step(1)),
                  [=](auto v) { return v * lanes(v, factor); });
    });
  });
  return d;
}

}  // namespace

Var sum(const Var& x, const Axes& axes, bool keep_dims) {
  const Reduction plan("sum", x, axes, keep_dims);
  return record(kSum, {x}, scaled_sum(plan, x.value(), 1),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, broadcast_gradient(plan, dx.shape(0), dy, 1)); });
}

Var mean(const Var& x, const Axes& axes, bool keep_dims) {
  const Reduction plan("mean", x, axes, keep_dims);
  const double factor = 1.0 / double(plan.count);
  return record(kMean, {x}, scaled_sum(plan, x.value(), factor), [=](const Tensor& dy, Sink& dx) {
    dx.add(0, broadcast_gradient(plan, dx.shape(0), dy, factor));
  });
}

Var logsumexp(const Var& x, const Axes& axes, bool keep_dims) {
  const Reduction plan("logsumexp", x, axes, keep_dims);
  Tensor y = Tensor::symbolic(plan.y, x.dtype());
  if (!x.is_symbolic()) {
    // y = m + log(sum exp(x - m)), m = max x; where m is infinite, 0 instead
    const Tensor largest =
        plan.count > 0 ? max(x.value(), axes, true).value() : Tensor::zeros(plan.kept, x.dtype());
    const Tensor top = map(largest, [](auto v) { return xsimd::select(xsimd::isinf(v), lanes(v, 0), v); });
    Tensor total = Tensor::zeros(plan.kept, Dtype::f64);
    dispatch("logsumexp", x.dtype(), [&](auto t) {
      using T = decltype(t);
      accumulate<T>(plan.pairs(x.shape()), x.value().data<T>(), top.data<T>(), total.data<double>(),
                    [](auto v, auto m) { return simd::exp(v - m); });
      y = finish(plan, total, x.dtype(),
                 [&](double v, Index o) { return double(top.data<T>()[o]) + std::log(v); });
    });
  }
  return record(kLogsumexp, {x}, y, [=, vx = x.value()](const Tensor& dy, Sink& dx) {
    // dx = dy exp(x - y)
    Tensor d = Tensor::empty(vx.shape(), dy.dtype());
    const Broadcast<2> pairs = plan.pairs(vx.shape());
    dispatch("logsumexp", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      const T *in = vx.template data<T>(), *out = y.data<T>(), *g = dy.data<T>();
      T* to = d.data<T>();
      pairs.rows([&](Index row, const Index* at) {
        const Index step = pairs.step(1);
        simd::apply(pairs.width(), to + row, simd::Row<T>(g + at[1], step), in + row,
                    simd::Row<T>(out + at[1], step),
                    [](auto gv, auto v, auto s) { return gv * simd::exp(v - s); });
      });
    });
    dx.add(0, std::move(d));
  });
}

}  // namespace qkv
