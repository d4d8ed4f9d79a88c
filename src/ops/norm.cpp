#include "qkv/ops/norm.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "qkv/autograd/gradcheck.h"
#include "qkv/tensor/simd.h"

namespace qkv {
namespace {

const Op kLayerNorm("layer_norm", [](GradSuite& g) {
  auto f = [](const std::vector<Var>& in) {
    return layer_norm(in[0], in[1], in.size() > 2 ? in[2] : Var());
  };
  g.check("rows", {g.normal({3, 5}), g.normal({5}), g.normal({5})}, f);
  g.check("batch", {g.normal({2, 2, 9}), g.normal({9}), g.normal({9})}, f);
  g.check("no bias", {g.normal({2, 4}), g.normal({4})}, f);
  g.check("one row", {g.normal({6}), g.normal({6}), g.normal({6})}, f);
  g.check("size 1", {g.normal({2, 1}), g.normal({1}), g.normal({1})}, f);
  for (int axis : {0, 1, -2})
    g.check("axis", {g.normal({2, 3, 2}), g.normal(axis == 0 ? Shape{2, 3, 2} : Shape{3, 2})},
            [=](const std::vector<Var>& in) { return layer_norm(in[0], in[1], Var(), axis, 0.1); });
});

const Op kRmsNorm("rms_norm", [](GradSuite& g) {
  auto f = [](const std::vector<Var>& in) {
    return rms_norm(in[0], in[1]);
  };
  g.check("rows", {g.normal({3, 5}), g.normal({5})}, f);
  g.check("batch", {g.normal({2, 2, 9}), g.normal({9})}, f);
  g.check("one row", {g.normal({6}), g.normal({6})}, f);
  g.check("size 1", {g.normal({2, 1}), g.normal({1})}, f);
  g.check("axis", {g.normal({2, 3, 2}), g.normal({3, 2})},
          [=](const std::vector<Var>& in) { return rms_norm(in[0], in[1], -2, 0.1); });
});

// Statistics of a row: normalised x^ = (x - mean) * inverse - shift. `shift` is what rounding of the mean
// left (Chan et al. 1983, the corrected two-pass algorithm), so that f32 keeps its digits far from zero.
template <class T>
struct RowStats {
  T mean, inverse, shift;
};

// Sums of d = x - mean and of d^2.
template <class T>
std::pair<double, double> moments(Index n, const T* x, T mean) {
  constexpr Index width = static_cast<Index>(simd::Batch<T>::size);
  simd::Batch<T> m(mean), sum0(T(0)), sum1(T(0)), square0(T(0)), square1(T(0));
  Index i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    const simd::Batch<T> a = xsimd::load_unaligned(x + i) - m, b = xsimd::load_unaligned(x + i + width) - m;
    sum0 += a, square0 += a * a;
    sum1 += b, square1 += b * b;
  }
  T sum = simd::sum_lanes<T>(sum0 + sum1), square = simd::sum_lanes<T>(square0 + square1);
  for (; i < n; i++) sum += x[i] - mean, square += (x[i] - mean) * (x[i] - mean);
  return {static_cast<double>(sum), static_cast<double>(square)};
}

template <class T>
RowStats<T> statistics(Index n, const T* x, bool centred, double eps) {
  const double part = 1.0 / static_cast<double>(n);
  const T mean = centred ? static_cast<T>(part * static_cast<double>(simd::sum<T>(
                                                     n, [](auto v) { return v; }, x)))
                         : T(0);
  const auto [sum, square] = moments(n, x, mean);
  const double left = centred ? part * sum : 0.0;
  const double inverse = 1.0 / std::sqrt(std::max(0.0, part * square - left * left) + eps);
  return {mean, static_cast<T>(inverse), static_cast<T>(left * inverse)};
}

// y = x^ gain + bias
template <class T>
void forward_row(Index n, const RowStats<T>& s, const T* x, const T* gain, const T* bias, T* y) {
  const simd::Batch<T> mean(s.mean), inverse(s.inverse), shift(s.shift);
  if (bias)
    simd::apply<T>(
        n, y, [&](auto v, auto g, auto b) { return ((v - mean) * inverse - shift) * g + b; }, x, gain, bias);
  else
    simd::apply<T>(
        n, y, [&](auto v, auto g) { return ((v - mean) * inverse - shift) * g; }, x, gain);
}

// dgain += dy x^; dbias += dy
template <class T>
void backward_gain(Index n, const RowStats<T>& s, const T* x, const T* dy, T* dgain, T* dbias) {
  const simd::Batch<T> mean(s.mean), inverse(s.inverse), shift(s.shift);
  if (dgain)
    simd::apply_beta<T>(
        1.0, n, dgain, [&](auto v, auto d) { return d * ((v - mean) * inverse - shift); }, x, dy);
  if (dbias)
    simd::apply_beta<T>(
        1.0, n, dbias, [](auto d) { return d; }, dy);
}

// dx = (g - mean(g) - x^ mean(g x^)) * inverse with g = dy gain; without mean(g) when not centred
template <class T>
void backward_row(Index n, const RowStats<T>& s, bool centred, const T* x, const T* gain, const T* dy,
                  double beta, T* dx) {
  const simd::Batch<T> mean(s.mean), inverse(s.inverse), shift(s.shift);
  const T part = T(1) / static_cast<T>(n);
  const simd::Batch<T> a(centred ? part * simd::sum<T>(
                                              n, [](auto d, auto g) { return d * g; }, dy, gain)
                                 : T(0));
  const simd::Batch<T> b(
      part *
      simd::sum<T>(
          n, [&](auto v, auto d, auto g) { return d * g * ((v - mean) * inverse - shift); }, x, dy, gain));
  simd::apply_beta<T>(
      beta, n, dx,
      [&](auto v, auto d, auto g) { return (d * g - a - ((v - mean) * inverse - shift) * b) * inverse; }, x,
      dy, gain);
}

Var run(const Op& op, const Var& x, const Var& gain, const Var& bias, int axis, double eps, bool centred) {
  const int rank = x.rank(), first = axis < 0 ? axis + rank : axis;
  QKV_CHECK(first >= 0 && first < rank, "{}: axis must be in [{}, {}); got {} for x {}", op.name, -rank, rank,
            axis, x.shape());
  const Shape inner(x.shape().begin() + first, rank - first);
  QKV_CHECK(gain.defined() && gain.shape() == inner && gain.dtype() == x.dtype(),
            "{}: gain must be {} {}; got {} {}, x {}", op.name, x.dtype(), inner, gain.dtype(), gain.shape(),
            x.shape());
  QKV_CHECK(!bias.defined() || (bias.shape() == inner && bias.dtype() == x.dtype()),
            "{}: bias must be {} {}; got {} {}, x {}", op.name, x.dtype(), inner, bias.dtype(), bias.shape(),
            x.shape());
  QKV_CHECK(eps >= 0, "{}: eps must not be negative; got {}", op.name, eps);
  const Index rows = x.shape().size_of(0, first), n = inner.size();
  if (x.is_symbolic() || gain.is_symbolic()) return Tensor::symbolic(x.shape(), x.dtype());
  Tensor y = Tensor::empty(x.shape(), x.dtype()), stats = Tensor::empty({rows, 3}, x.dtype());
  dispatch(op.name, x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T *px = x.value().data<T>(), *pg = gain.value().data<T>();
    const T* pb = bias.defined() ? bias.value().data<T>() : nullptr;
    for (Index r = 0; n > 0 && r < rows; r++) {
      const RowStats<T> s = statistics(n, px + r * n, centred, eps);
      T* kept = stats.data<T>() + 3 * r;
      kept[0] = s.mean, kept[1] = s.inverse, kept[2] = s.shift;
      forward_row(n, s, px + r * n, pg, pb, y.data<T>() + r * n);
    }
  });
  const Input inputs[] = {x, gain, bias};
  return record(op, inputs, bias.defined() ? 3 : 2, y,
                [=, vx = x.value(), vg = gain.value(), biased = bias.defined()](const Tensor& dy, Sink& dx) {
                  dispatch("norm", dy.dtype(), [&](auto t) {
                    using T = decltype(t);
                    Tensor dgain, dbias;
                    if (dx.needs(1)) dgain = dx.zeroed(1);
                    if (biased && dx.needs(2)) dbias = dx.zeroed(2);
                    Sink::Buffer d = dx.needs(0) ? dx.buffer(0) : Sink::Buffer{};
                    for (Index r = 0; n > 0 && r < rows; r++) {
                      const T* kept = stats.data<T>() + 3 * r;
                      const RowStats<T> s{kept[0], kept[1], kept[2]};
                      const T *row = vx.template data<T>() + r * n, *dy_row = dy.data<T>() + r * n;
                      backward_gain(n, s, row, dy_row, dgain.defined() ? dgain.data<T>() : nullptr,
                                    dbias.defined() ? dbias.data<T>() : nullptr);
                      if (d.gradient.defined())
                        backward_row(n, s, centred, row, vg.template data<T>(), dy_row, d.beta,
                                     d.gradient.data<T>() + r * n);
                    }
                  });
                });
}

}  // namespace

Var layer_norm(const Var& x, const Var& gain, const Var& bias, double eps) {
  return run(kLayerNorm, x, gain, bias, -1, eps, true);
}
Var layer_norm(const Var& x, const Var& gain, const Var& bias, int axis, double eps) {
  return run(kLayerNorm, x, gain, bias, axis, eps, true);
}

Var rms_norm(const Var& x, const Var& gain, double eps) {
  return run(kRmsNorm, x, gain, Var(), -1, eps, false);
}
Var rms_norm(const Var& x, const Var& gain, int axis, double eps) {
  return run(kRmsNorm, x, gain, Var(), axis, eps, false);
}

}  // namespace qkv
