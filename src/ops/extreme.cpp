// max, min and argmax.
#include <limits>

#include "copy.h"
#include "qkv/ops/reduce.h"
#include "reduction.h"

namespace qkv {
using namespace reduction;
namespace {

const Op kMax("max", [](GradSuite& g) { check_reduction(g, max); });
const Op kMin("min", [](GradSuite& g) { check_reduction(g, min); });

// Does v replace the best value so far? A NaN replaces anything but a NaN.
template <bool largest, class T>
bool better(T v, T best) {
  return (largest ? v > best : v < best) || (v != v && best == best);
}

template <bool largest>
Tensor extreme_value(const Reduction& plan, const Tensor& x) {
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
        const T v = simd::extreme<largest>(pairs.width(), in + row);
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
  const Reduction plan(op.name, x, axes, keep_dims);
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
