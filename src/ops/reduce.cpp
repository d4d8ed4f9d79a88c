#include "qkv/ops/reduce.h"

#include <cmath>
#include <limits>

#include "elementwise.h"
#include "qkv/ops/arithmetic.h"

namespace qkv {
using namespace elementwise;
namespace {

template <class F>
void check_reduction(GradSuite& g, F f) {
  auto check = [&](const char* label, const Shape& shape, const Axes& axes, bool keep_dims) {
    g.check(label, {g.normal(shape)}, [=](const std::vector<Var>& in) { return f(in[0], axes, keep_dims); });
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

const Op kSum("sum", [](GradSuite& g) { check_reduction(g, sum); });
const Op kMean("mean", [](GradSuite& g) { check_reduction(g, mean); });
const Op kMax("max", [](GradSuite& g) { check_reduction(g, max); });
const Op kMin("min", [](GradSuite& g) { check_reduction(g, min); });
const Op kLogsumexp("logsumexp", [](GradSuite& g) { check_reduction(g, logsumexp); });

// Shapes of a result: with reduced axes kept as 1, and as asked for.
struct Plan {
  Shape kept, y;
  Index count;  // of elements per result
  Plan(const char* op, const Var& x, const Axes& axes, bool keep_dims) : kept(x.shape()), count(1) {
    check_dtype(op, x);
    const unsigned reduced = axes.mask(op, x.shape());
    for (int i = 0; i < x.rank(); i++) {
      const bool gone = reduced >> i & 1u;
      if (gone) count *= x.dim(i), kept.set(i, 1);
      if (!gone || keep_dims) y.push_back(kept[i]);
    }
  }
  // Pairs the elements of x with those of the result.
  Broadcast<2> pairs(const Shape& x) const { return Broadcast<2>("reduce", x, kept); }
};

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
        total[o] += static_cast<double>(simd::sum_row<T>(n, f, rx, rs));
      } else {
        simd::apply_row<false>(n, part, f, rx, rs);
        for (Index j = 0; j < n; j++) total[o + j] += static_cast<double>(part[j]);
      }
    }
  });
}

// The result of `y`'s dtype from totals in f64.
template <class F>
Tensor finish(const Plan& plan, const Tensor& total, Dtype dtype, F f) {
  Tensor y = Tensor::empty(plan.y, dtype);
  dispatch("reduce", dtype, [&](auto t) {
    using T = decltype(t);
    const double* in = total.data<double>();
    for (Index o = 0; o < y.size(); o++) y.data<T>()[o] = static_cast<T>(f(in[o], o));
  });
  return y;
}

Tensor scaled_sum(const Plan& plan, const Tensor& x, double factor) {
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
Tensor spread(const Plan& plan, const Shape& shape, const Tensor& dy, double factor) {
  Tensor d = Tensor::empty(shape, dy.dtype());
  const Broadcast<2> pairs = plan.pairs(shape);
  dispatch("reduce", dy.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* g = dy.data<T>();
    T* out = d.data<T>();
    pairs.rows([&](Index row, const Index* at) {
      simd::apply_row<false>(
          pairs.width(), out + row, [=](auto v) { return v * lanes(v, factor); },
          simd::Row<T>(g + at[1], pairs.step(1)));
    });
  });
  return d;
}

}  // namespace

Var sum(const Var& x, const Axes& axes, bool keep_dims) {
  const Plan plan("sum", x, axes, keep_dims);
  return record(kSum, {x}, scaled_sum(plan, x.value(), 1),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, spread(plan, dx.shape(0), dy, 1)); });
}

Var mean(const Var& x, const Axes& axes, bool keep_dims) {
  const Plan plan("mean", x, axes, keep_dims);
  const double factor = 1.0 / static_cast<double>(plan.count);
  return record(kMean, {x}, scaled_sum(plan, x.value(), factor),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, spread(plan, dx.shape(0), dy, factor)); });
}

namespace {

// Does v replace the best value so far? A nan replaces anything but a nan.
template <bool largest, class T>
bool better(T v, T best) {
  return (largest ? v > best : v < best) || (v != v && best == best);
}

// Largest or smallest of a row; nan where there is one.
template <bool largest, class T>
T extreme_of_row(Index n, const T* x) {
  constexpr Index width = simd::Row<T>::width;
  using B = simd::Batch<T>;
  T best = x[0];
  Index i = 0;
  if (n >= width) {
    B m = xsimd::load_unaligned(x);
    for (i = width; i + width <= n; i += width) {
      const B v = xsimd::load_unaligned(x + i);  // max gives its second operand where one is nan
      m = xsimd::select(xsimd::isnan(m), m, largest ? xsimd::max(m, v) : xsimd::min(m, v));
    }
    alignas(64) T lane[B::size];
    m.store_aligned(lane);
    best = lane[0];
    for (Index j = 1; j < width; j++)
      if (better<largest>(lane[j], best)) best = lane[j];
  }
  for (; i < n; i++)
    if (better<largest>(x[i], best)) best = x[i];
  return best;
}

template <bool largest>
Tensor extreme_value(const Plan& plan, const Tensor& x) {
  Tensor y = Tensor::result(plan.y, x);
  if (y.is_symbolic()) return y;
  const Broadcast<2> pairs = plan.pairs(x.shape());
  dispatch("reduce", x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    y.fill(largest ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity());
    pairs.rows([&](Index row, const Index* at) {
      T* o = out + at[1];
      if (pairs.step(1) == 0) {
        const T v = extreme_of_row<largest>(pairs.width(), in + row);
        if (better<largest>(v, *o)) *o = v;
      } else {
        for (Index j = 0; j < pairs.width(); j++)
          o[j] = better<largest>(in[row + j], o[j]) ? in[row + j] : o[j];
      }
    });
  });
  return y;
}

template <bool largest>
Var extreme(const Op& op, const Var& x, const Axes& axes, bool keep_dims) {
  const Plan plan(op.name, x, axes, keep_dims);
  QKV_CHECK(plan.count > 0, "{}: must reduce at least one element; got {}", op.name, x.shape());
  Tensor y = extreme_value<largest>(plan, x.value());
  return record(op, {x}, y, [=, vx = x.value()](const Tensor& dy, Sink& dx) {
    Tensor d = dx.zeroed(0), taken = Tensor::zeros(plan.kept, Dtype::i32);
    const Broadcast<2> pairs = plan.pairs(vx.shape());
    dispatch("reduce", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      const T *in = vx.template data<T>(), *best = y.data<T>(), *g = dy.data<T>();
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

}  // namespace

Var max(const Var& x, const Axes& axes, bool keep_dims) {
  return extreme<true>(kMax, x, axes, keep_dims);
}

Var min(const Var& x, const Axes& axes, bool keep_dims) {
  return extreme<false>(kMin, x, axes, keep_dims);
}

Var logsumexp(const Var& x, const Axes& axes, bool keep_dims) {
  const Plan plan("logsumexp", x, axes, keep_dims);
  Tensor y = Tensor::symbolic(plan.y, x.dtype());
  if (!x.is_symbolic()) {
    // y = m + log(sum exp(x - m)), m = max x; where m is infinite, 0 instead
    const Tensor top = map(extreme_value<true>(plan, x.value()),
                           [](auto v) { return xsimd::select(xsimd::isinf(v), lanes(v, 0), v); });
    Tensor total = Tensor::zeros(plan.kept, Dtype::f64);
    dispatch("logsumexp", x.dtype(), [&](auto t) {
      using T = decltype(t);
      accumulate<T>(plan.pairs(x.shape()), x.value().data<T>(), top.data<T>(), total.data<double>(),
                    [](auto v, auto m) { return xsimd::exp(v - m); });
      y = finish(plan, total, x.dtype(),
                 [&](double v, Index o) { return static_cast<double>(top.data<T>()[o]) + std::log(v); });
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
        simd::apply_row<false>(
            pairs.width(), to + row, [](auto gv, auto v, auto s) { return gv * xsimd::exp(v - s); },
            simd::Row<T>(g + at[1], step), simd::Row<T>(in + row, 1), simd::Row<T>(out + at[1], step));
      });
    });
    dx.add(0, std::move(d));
  });
}

Tensor argmax(const Var& x, int axis, bool keep_dims, bool last) {
  const Plan plan("argmax", x, axis, keep_dims);
  QKV_CHECK(plan.count > 0, "argmax: must reduce at least one element; got {}", x.shape());
  Tensor y = Tensor::result(plan.y, x.value(), Dtype::i32);
  if (y.is_symbolic()) return y;
  axis = x.shape().check_axis(axis);
  const Index outer = x.shape().size_of(0, axis), n = plan.count;
  const Index inner = x.shape().size_of(axis + 1, x.rank());
  dispatch("argmax", x.dtype(), [&](auto t) {
    using T = decltype(t);
    std::int32_t* out = y.data<std::int32_t>();
    for (Index i = 0; i < outer; i++)
      for (Index j = 0; j < inner; j++, out++) {
        const T* in = x.value().data<T>() + i * n * inner + j;
        T best = in[0];
        *out = 0;
        for (Index k = 1; k < n; k++) {
          const T v = in[k * inner];
          if (better<true>(v, best) || (last && v == best)) best = v, *out = static_cast<std::int32_t>(k);
        }
      }
  });
  return y;
}

}  // namespace qkv
