// Reductions over axes: sums, means, logsumexp, largest and smallest elements.
#include "qkv/ops/reduce.h"

#include <cmath>
#include <limits>

#include "autograd/trace.h"
#include "copy.h"
#include "elementwise.h"

namespace qkv {
using namespace elementwise;
namespace {

template <class F>
void check_reduction(GradSuite& g, F f) {
  auto check = [&](const char* label, const Shape& shape, const Axes& axes, bool keep_dims) {
    g.check(label, {g.normal(shape)}, [=](const Vars& in) { return f(in[0], axes, keep_dims); });
  };
  check("all", {2, 3, 4}, {}, false);
  check("all kept", {2, 3}, {}, true);
  check("last axis", {3, 19}, {-1}, false);
  check("first axis", {3, 19}, {0}, true);
  check("middle axis", {2, 3, 4}, {1}, false);
  check("outer axes", {2, 3, 4}, {0, -1}, false);
  check("inner axes", {2, 3, 4}, {2, 1}, true);
  check("size 1", {1, 1}, {0}, false);
  check("scalar", {}, {}, false);
}

// Shapes of a result: with reduced axes kept as 1, and as asked for.
struct Reduction {
  Shape kept, y;
  Index count;    // of elements per result
  unsigned gone;  // axes, as bits
  Reduction(const char* op, const Var& x, const Axes& axes, bool keep_dims) : kept(x.shape()), count(1) {
    check_dtype(op, x);
    gone = axes.mask(op, x.shape());
    for (int i = 0; i < x.rank(); i++) {
      const bool reduced = gone >> i & 1u;
      if (reduced) count *= x.dim(i), kept.set(i, 1);
      if (!reduced || keep_dims) y.push_back(kept[i]);
    }
  }
  // Tells a trace which axes go.
  void note(const Var& x) const {
    std::vector<Index> axes;
    for (int i = 0; Trace::current() && i < x.rank(); i++)
      if (gone >> i & 1u) axes.push_back(i);
    Note()("axes", axes)("keep_dims", y.rank() == x.rank());
  }
  // Pairs the elements of x with those of the result.
  Broadcast<2> pairs(const Shape& x) const { return Broadcast<2>("reduce", x, kept); }
};

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

// dy * factor, one value per result, repeated for the elements it came from.
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

Var scaled_sum(const Op& op, const Reduction& plan, const Var& x, double factor) {
  plan.note(x);
  return record(op, {x}, scaled_sum(plan, x.value(), factor), [=](const Tensor& dy, Sink& dx) {
    dx.add(0, broadcast_gradient(plan, dx.shape(0), dy, factor));
  });
}

const Op kMax("max", [](GradSuite& g) { check_reduction(g, max); });
const Op kMin("min", [](GradSuite& g) { check_reduction(g, min); });

// Does v replace the best value so far? A NaN replaces anything but a NaN.
template <bool largest, class T>
bool better(T v, T best) {
  return (largest ? v > best : v < best) || (v != v && best == best);
}

template <bool largest>
Var extreme(const Op& op, const Var& x, const Axes& axes, bool keep_dims) {
  const Reduction plan(op.name, x, axes, keep_dims);
  QKV_CHECK(plan.count > 0, "{}: must reduce at least one element; got {}", op.name, x.shape());
  if (x.is_symbolic()) return Tensor::symbolic(plan.y, x.dtype());
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Tensor y = Tensor::full(plan.y, largest ? -kInfinity : kInfinity, x.dtype());
  const Broadcast<2> pairs = plan.pairs(x.shape());
  return dispatch("reduce", x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.value().data<T>();
    pairs.rows([&](Index row, const Index* at) {
      T* o = y.data<T>() + at[1];
      if (pairs.step(1) == 0) {
        const T v = simd::extreme<largest>(pairs.width(), in + row);
        if (better<largest>(v, *o)) *o = v;
      } else {
        for (Index j = 0; j < pairs.width(); j++)
          o[j] = better<largest>(in[row + j], o[j]) ? in[row + j] : o[j];
      }
    });
    plan.note(x);
    return record(op, {x}, y, [=, vx = x.value()](const Tensor& dy, Sink& dx) {
      Tensor d = dx.zeroed(0), taken = Tensor::zeros(plan.kept, Dtype::i32);
      const T *in = vx.data<T>(), *best = y.data<T>(), *g = dy.data<T>();
      T* out = d.data<T>();
      std::int32_t* seen = taken.data<std::int32_t>();
      pairs.rows([&](Index row, const Index* at) {
        for (Index j = 0; j < pairs.width(); j++) {
          const Index o = at[1] + j * pairs.step(1);
          if (seen[o] || in[row + j] != best[o]) continue;
          out[row + j] += g[o];
          seen[o] = 1;
        }
      });
    });
  });
}

// Position of the largest of in[0], in[step], ..
template <class T>
Index position(Index n, const T* in, Index step, bool last) {
  T best = in[0];
  Index at = 0;
  for (Index k = 1; k < n; k++) {
    const T v = in[k * step];
    if (better<true>(v, best) || (last && v == best)) best = v, at = k;
  }
  return at;
}

// The same of a contiguous row: find the value, then, in batches, the place.
template <class T>
Index position_in_row(Index n, const T* in, bool last) {
  constexpr Index width = simd::kWidth<T>;
  const T best = simd::max(n, in);
  if (last || best != best || n < width) return position(n, in, 1, last);
  Index i = 0;
  while (i + width < n && !xsimd::any(simd::Batch<T>(xsimd::load_unaligned(in + i)) == simd::Batch<T>(best)))
    i += width;
  while (in[i] != best) i++;
  return i;
}

}  // namespace

Var sum(const Var& x, const Axes& axes, bool keep_dims) {
  return scaled_sum(kSum, Reduction("sum", x, axes, keep_dims), x, 1);
}

Var mean(const Var& x, const Axes& axes, bool keep_dims) {
  const Reduction plan("mean", x, axes, keep_dims);
  return scaled_sum(kMean, plan, x, 1.0 / double(plan.count));
}

Var logsumexp(const Var& x, const Axes& axes, bool keep_dims) {
  const Reduction plan("logsumexp", x, axes, keep_dims);
  if (x.is_symbolic()) return Tensor::symbolic(plan.y, x.dtype());
  // y = m + log(sum exp(x - m)), m = max x; where m is infinite, 0 instead
  const Tensor largest =
      plan.count > 0 ? max(x.value(), axes, true).value() : Tensor::zeros(plan.kept, x.dtype());
  const Tensor top = map(largest, [](auto v) { return xsimd::select(xsimd::isinf(v), lanes(v, 0), v); });
  Tensor total = Tensor::zeros(plan.kept, Dtype::f64);
  return dispatch("logsumexp", x.dtype(), [&](auto t) {
    using T = decltype(t);
    const Broadcast<2> pairs = plan.pairs(x.shape());
    accumulate<T>(pairs, x.value().data<T>(), top.data<T>(), total.data<double>(),
                  [](auto v, auto m) { return simd::exp(v - m); });
    const Tensor y = finish(plan, total, x.dtype(),
                            [&](double v, Index o) { return double(top.data<T>()[o]) + std::log(v); });
    plan.note(x);
    return record(kLogsumexp, {x}, y, [=, vx = x.value()](const Tensor& dy, Sink& dx) {
      // dx = dy exp(x - y)
      Tensor d = Tensor::empty(vx.shape(), dy.dtype());
      const T *in = vx.data<T>(), *out = y.data<T>(), *g = dy.data<T>();
      T* to = d.data<T>();
      pairs.rows([&](Index row, const Index* at) {
        const Index step = pairs.step(1);
        simd::apply(pairs.width(), to + row, simd::Row<T>(g + at[1], step), in + row,
                    simd::Row<T>(out + at[1], step),
                    [](auto gv, auto v, auto s) { return gv * simd::exp(v - s); });
      });
      dx.add(0, std::move(d));
    });
  });
}

Var max(const Var& x, const Axes& axes, bool keep_dims) {
  return extreme<true>(kMax, x, axes, keep_dims);
}

Var min(const Var& x, const Axes& axes, bool keep_dims) {
  return extreme<false>(kMin, x, axes, keep_dims);
}

Tensor argmax(const Var& x, int axis, bool keep_dims, bool last) {
  const Reduction plan("argmax", x, axis, keep_dims);
  QKV_CHECK(plan.count > 0, "argmax: must reduce at least one element; got {}", x.shape());
  Tensor y = Tensor::result(plan.y, x.value(), Dtype::i32);
  if (y.is_symbolic()) return y;
  const copying::AxisView view("argmax", x.shape(), axis);
  const Index n = view.n, inner = view.inner;
  dispatch("argmax", x.dtype(), [&](auto t) {
    using T = decltype(t);
    std::int32_t* out = y.data<std::int32_t>();
    for (Index i = 0; i < view.outer; i++)
      for (Index j = 0; j < inner; j++, out++) {
        const T* in = x.value().data<T>() + i * n * inner + j;
        *out = std::int32_t(inner == 1 ? position_in_row(n, in, last) : position(n, in, inner, last));
      }
  });
  return y;
}

}  // namespace qkv
