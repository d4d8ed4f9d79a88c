#include <algorithm>

#include "autograd/trace.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/rows.h"

namespace qkv {

static const Op kMix("mix", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& x, const Shape& y, Index begin) {
    g.check(
        label, {g.normal(x), g.normal(y), g.normal({2})},
        [=](const Vars& in) { return mix(in[0], in[1], in[2], begin); },
        [=](const Vars& in) {
          const Index end = begin + y[-1];
          const Var a = slice(in[2], 0, 0, 1), b = slice(in[2], 0, 1, 2);
          return concat({slice(in[0], -1, 0, begin), slice(in[0], -1, begin, end) * a + in[1] * b,
                         slice(in[0], -1, end, x[-1])},
                        -1);
        });
  };
  check("all columns", {2, 3, 19}, {2, 3, 19}, 0);
  check("columns in the middle", {2, 3, 9}, {2, 3, 4}, 3);
  check("last columns", {4, 40}, {4, 33}, 7);
  check("one element", {1}, {1}, 0);
  g.check("one tensor twice", {g.normal({3, 5}), g.normal({2})},
          [](const Vars& in) { return mix(in[0], in[0], in[1]); });
});

// With weights (a, b), in the columns of y: z = a x + b y, dx = a dz, dy = b dz, da = sum(dz x), db = sum(dz
// y). In the others z = x, dx = dz.
Var mix(const Var& x, const Var& y, const Var& weights, Index begin) {
  const int last = x.rank() - 1;
  QKV_CHECK(last >= 0 && y.rank() == x.rank() && y.dtype() == x.dtype() &&
                Shape(x.shape().begin(), last) == Shape(y.shape().begin(), last) && begin >= 0 &&
                begin + y.dim(-1) <= x.dim(-1),
            "mix: y must have the rows of x, and fit into its columns from {} on; got x {} {}, y {} {}",
            begin, x.dtype(), x.shape(), y.dtype(), y.shape());
  QKV_CHECK(weights.shape() == Shape{2} && weights.dtype() == x.dtype(),
            "mix: weights must be {} [2]; got {} {}", x.dtype(), weights.dtype(), weights.shape());
  const Index n = x.dim(-1), w = y.dim(-1), rows = x.value().size() / std::max<Index>(1, n);
  Note()("begin", begin);
  if (x.is_symbolic()) return Tensor::symbolic(x.shape(), x.dtype());
  return dispatch("mix", x.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor z = Tensor::empty(x.shape(), x.dtype());
    const T *px = x.value().data<T>(), *py = y.value().data<T>(), *ab = weights.value().data<T>();
    const simd::Batch<T> a(ab[0]), b(ab[1]);
    T* to = z.data<T>();
    for (Index r = 0; r < rows; r++, px += n, py += w, to += n) {
      std::copy_n(px, n, to);
      simd::apply(w, to + begin, px + begin, py, [&](auto u, auto v) { return xsimd::fma(a, u, b * v); });
    }
    return record(kMix, {x, y, weights}, z,
                  [=, vx = x.value(), vy = y.value(), vw = weights.value()](const Tensor& dz, Sink& dx) {
                    const T *g = dz.data<T>() + begin, *px = vx.data<T>() + begin, *py = vy.data<T>();
                    const T* ab = vw.data<T>();
                    if (dx.needs(0)) {
                      Tensor d = dz.clone();
                      for (Index r = 0; r < rows; r++) simd::scale(w, ab[0], d.data<T>() + r * n + begin);
                      dx.add(0, std::move(d));
                    }
                    if (dx.needs(1)) {
                      Tensor d = Tensor::zeros(vy.shape(), vy.dtype());
                      for (Index r = 0; r < rows; r++)
                        simd::add_scaled(w, ab[1], g + r * n, d.data<T>() + r * w);
                      dx.add(1, std::move(d));
                    }
                    if (!dx.needs(2)) return;
                    double da = 0, db = 0;
                    for (Index r = 0; r < rows; r++, g += n, px += n, py += w)
                      da += double(simd::dot(w, g, px)), db += double(simd::dot(w, g, py));
                    T* to = dx.zeroed(2).data<T>();
                    to[0] += T(da), to[1] += T(db);
                  });
  });
}

}  // namespace qkv
