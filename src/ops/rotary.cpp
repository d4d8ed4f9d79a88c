#include "qkv/ops/attention.h"

#include <cmath>

#include "autograd/trace.h"
#include "qkv/autograd/gradcheck.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

const Op kRotary("rotary", [](GradSuite& g) {
  auto check = [&](const char* label, Index heads, Index extra, Index dim, bool interleaved, bool per_batch) {
    RotaryOptions options(heads, 6);
    options.dim = dim;
    options.interleaved = interleaved;
    const Shape shape = per_batch ? Shape{2, 3, dim / 2} : Shape{3, dim / 2};
    const RotaryTable table{g.uniform(shape, -1, 1), g.uniform(shape, -1, 1)};
    g.check(label, {g.normal({2, 3, heads * 6 + extra})},
            [=](const Vars& in) { return rotary(in[0], table, options); });
  };
  check("halves", 2, 0, 6, false, false);
  check("interleaved", 2, 0, 6, true, false);
  check("part of a head", 2, 0, 4, false, true);
  check("interleaved part", 1, 0, 2, true, true);
  check("beside other columns", 2, 5, 6, false, false);
});

// Rotates by the angle, or back: the gradient is the transpose, when c^2 + s^2 = 1 the inverse rotation.
template <class T>
void rotate(Index half, bool interleaved, T sign, const T* c, const T* s, const T* x, T* y) {
  if (interleaved) {
    for (Index i = 0; i < half; i++) {
      const T x1 = x[2 * i], x2 = x[2 * i + 1], sine = sign * s[i];
      y[2 * i] = c[i] * x1 - sine * x2;
      y[2 * i + 1] = sine * x1 + c[i] * x2;
    }
    return;
  }
  const simd::Batch<T> factor(sign);
  simd::apply(half, y, x, x + half, c, s,
              [=](auto x1, auto x2, auto cosine, auto sine) { return cosine * x1 - factor * sine * x2; });
  simd::apply(half, y + half, x, x + half, c, s,
              [=](auto x1, auto x2, auto cosine, auto sine) { return factor * sine * x1 + cosine * x2; });
}

Tensor rotated(const Tensor& x, const RotaryTable& table, const RotaryOptions& o, bool back) {
  Tensor y = Tensor::result(x.shape(), x);
  if (y.is_symbolic()) return y;
  const Index B = x.dim(0), length = x.dim(1), W = x.dim(2), half = o.dim / 2, rest = o.d_head - o.dim;
  dispatch("rotary", x.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index row = 0; row < B * length; row++) {
      const Index angle = (table.cos.rank() == 3 ? row : row % length) * half;
      const T *c = table.cos.data<T>() + angle, *s = table.sin.data<T>() + angle, *in = x.data<T>() + row * W;
      T* out = y.data<T>() + row * W;
      for (Index h = 0; h < o.n_head; h++, in += o.d_head, out += o.d_head) {
        rotate<T>(half, o.interleaved, back ? T(-1) : T(1), c, s, in, out);
        std::copy_n(in + o.dim, rest, out + o.dim);
      }
      std::copy_n(in, W - o.n_head * o.d_head, out);
    }
  });
  return y;
}

}  // namespace

RotaryTable rotary_table(Index begin, Index length, Index dim, double base, Dtype dtype) {
  QKV_CHECK(dim > 0 && dim % 2 == 0, "rotary_table: dim must be even; got {}", dim);
  RotaryTable table{Tensor::empty({length, dim / 2}, Dtype::f64),
                    Tensor::empty({length, dim / 2}, Dtype::f64)};
  double *c = table.cos.data<double>(), *s = table.sin.data<double>();
  for (Index i = 0; i < dim / 2; i++) {
    const double frequency = std::pow(base, -2.0 * double(i) / double(dim));
    for (Index t = 0; t < length; t++) {
      const double angle = double(begin + t) * frequency;
      c[t * (dim / 2) + i] = std::cos(angle);
      s[t * (dim / 2) + i] = std::sin(angle);
    }
  }
  return {table.cos.to(dtype), table.sin.to(dtype)};
}

Var rotary(const Var& x, const RotaryTable& table, const RotaryOptions& options) {
  RotaryOptions o = options;
  if (o.dim == 0) o.dim = 2 * table.cos.dim(-1);
  QKV_CHECK(o.dim > 0 && o.dim <= o.d_head && o.dim % 2 == 0,
            "rotary: dim must be even and at most {}; got {}", o.d_head, o.dim);
  QKV_CHECK(o.n_head > 0 && x.rank() == 3 && x.dim(2) >= o.n_head * o.d_head,
            "rotary: x must be [B, T, at least {}]; got {}", o.n_head * o.d_head, x.shape());
  const Shape shared{x.dim(1), o.dim / 2}, own{x.dim(0), x.dim(1), o.dim / 2};
  for (const Tensor* t : {&table.cos, &table.sin})
    QKV_CHECK(t->dtype() == x.dtype() && t->shape() == table.cos.shape() &&
                  (t->shape() == shared || t->shape() == own),
              "rotary: table must be {0} {1} or {2}; got {3} {4}", x.dtype(), shared, own, t->dtype(),
              t->shape());
  Note()("cos", table.cos)("sin", table.sin)("n_head", o.n_head)("d_head", o.d_head)("dim", o.dim)(
      "interleaved", o.interleaved);
  return record(kRotary, {x}, rotated(x.value(), table, o, false),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, rotated(dy, table, o, true)); });
}

}  // namespace qkv
