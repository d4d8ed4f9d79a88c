// max, min and argmax.
#include <limits>

#include "qkv/ops/reduce.h"
#include "reduction.h"

namespace qkv {
using namespace reduction;
namespace {

const Op kMax("max", [](GradSuite& g) { check_reduction(g, max); });
const Op kMin("min", [](GradSuite& g) { check_reduction(g, min); });

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
  constexpr Index width = simd::Row<T>::width;
  const T best = extreme_of_row<true>(n, in);
  if (last || best != best || n < width) return position(n, in, 1, last);
  Index i = 0;
  while (i + width < n && !xsimd::any(simd::Batch<T>(xsimd::load_unaligned(in + i)) == simd::Batch<T>(best)))
    i += width;
  while (in[i] != best) i++;
  return i;
}

}  // namespace

Var max(const Var& x, const Axes& axes, bool keep_dims) {
  return extreme<true>(kMax, x, axes, keep_dims);
}

Var min(const Var& x, const Axes& axes, bool keep_dims) {
  return extreme<false>(kMin, x, axes, keep_dims);
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
        *out = static_cast<std::int32_t>(inner == 1 ? position_in_row(n, in, last)
                                                    : position(n, in, inner, last));
      }
  });
  return y;
}

}  // namespace qkv
