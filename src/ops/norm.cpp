#include "qkv/ops/norm.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "autograd/trace.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

// The definition from separate ops, over the axes from `axis` (negative) on.
Var norm_composed(const Var& x, const Var& gain, const Var& bias, int axis, double eps, bool centred) {
  int axes[Shape::kMaxRank];
  for (int i = axis; i < 0; i++) axes[i - axis] = i;
  const Axes over(axes, -axis);
  const Var d = centred ? x - mean(x, over, true) : x;
  const Var y = d / sqrt(mean(square(d), over, true) + eps) * gain;
  return bias.defined() ? y + bias : y;
}

// Statistics of a row: normalised x^ = (x - mean) * inverse - shift. `shift` is what rounding of the mean
// left (Chan et al. 1983, the corrected two-pass algorithm), so that f32 keeps its digits far from zero.
template <class T>
struct RowStats {
  T mean, inverse, shift;
};

// Sums of d = x - mean and of d^2.
template <class T>
std::pair<double, double> moments(Index n, const T* x, T mean) {
  constexpr Index width = simd::kWidth<T>;
  simd::Batch<T> m(mean), sum0(T(0)), sum1(T(0)), square0(T(0)), square1(T(0));
  Index i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    const simd::Batch<T> a = xsimd::load_unaligned(x + i) - m, b = xsimd::load_unaligned(x + i + width) - m;
    sum0 += a, square0 += a * a;
    sum1 += b, square1 += b * b;
  }
  T sum = simd::sum_lanes<T>(sum0 + sum1), square = simd::sum_lanes<T>(square0 + square1);
  for (; i < n; i++) sum += x[i] - mean, square += (x[i] - mean) * (x[i] - mean);
  return {double(sum), double(square)};
}

template <class T>
RowStats<T> statistics(Index n, const T* x, bool centred, double eps) {
  const double part = 1.0 / double(n);
  const T mean = centred ? T(part * double(simd::sum(n, x))) : T(0);
  const auto [sum, square] = moments(n, x, mean);
  const double left = centred ? part * sum : 0.0;
  const double inverse = 1.0 / std::sqrt(std::max(0.0, part * square - left * left) + eps);
  return {mean, T(inverse), T(left * inverse)};
}

// x -> x^ on batches.
template <class T>
auto normalise(const RowStats<T>& s) {
  return [mean = simd::Batch<T>(s.mean), inverse = simd::Batch<T>(s.inverse),
          shift = simd::Batch<T>(s.shift)](auto v) {
    return (v - mean) * inverse - shift;
  };
}

// y = x^ gain + bias
template <class T>
void forward_row(Index n, const RowStats<T>& s, const T* x, const T* gain, const T* bias, T* y) {
  const auto unit = normalise(s);
  if (bias)
    simd::apply(n, y, x, gain, bias, [&](auto v, auto g, auto b) { return unit(v) * g + b; });
  else
    simd::apply(n, y, x, gain, [&](auto v, auto g) { return unit(v) * g; });
}

// dgain += dy x^; dbias += dy
template <class T>
void backward_gain(Index n, const RowStats<T>& s, const T* x, const T* dy, T* dgain, T* dbias) {
  const auto unit = normalise(s);
  if (dgain) simd::apply_beta(1, n, dgain, x, dy, [&](auto v, auto d) { return d * unit(v); });
  if (dbias) simd::add(n, dbias, dy);
}

// dx = (g - mean(g) - x^ mean(g x^)) * inverse with g = dy gain; without mean(g) when not centred
template <class T>
void backward_row(Index n, const RowStats<T>& s, bool centred, const T* x, const T* gain, const T* dy,
                  double beta, T* dx) {
  const auto unit = normalise(s);
  const T part = T(1) / T(n);
  const simd::Batch<T> inverse(s.inverse), a(centred ? part * simd::dot(n, dy, gain) : T(0));
  const simd::Batch<T> b(
      part * simd::sum_of<T>(n, x, dy, gain, [&](auto v, auto d, auto g) { return d * g * unit(v); }));
  simd::apply_beta(beta, n, dx, x, dy, gain,
                   [&](auto v, auto d, auto g) { return (d * g - a - unit(v) * b) * inverse; });
}

Var norm(const Op& op, const Var& x, const Var& gain, const Var& bias, int axis, double eps, bool centred) {
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
  const Input inputs[] = {x, gain, bias};
  return dispatch(op.name, x.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::empty(x.shape(), x.dtype()), stats = Tensor::empty({rows, 3}, x.dtype());
    const T *px = x.value().data<T>(), *pg = gain.value().data<T>();
    const T* pb = bias.defined() ? bias.value().data<T>() : nullptr;
    for (Index r = 0; n > 0 && r < rows; r++) {
      const RowStats<T> s = statistics(n, px + r * n, centred, eps);
      T* kept = stats.data<T>() + 3 * r;
      kept[0] = s.mean, kept[1] = s.inverse, kept[2] = s.shift;
      forward_row(n, s, px + r * n, pg, pb, y.data<T>() + r * n);
    }
    Note()("axis", first)("eps", eps);
    return record(
        op, inputs, bias.defined() ? 3 : 2, y,
        [=, vx = x.value(), vg = gain.value(), biased = bias.defined()](const Tensor& dy, Sink& dx) {
          Tensor dgain, dbias;
          if (dx.needs(1)) dgain = dx.zeroed(1);
          if (biased && dx.needs(2)) dbias = dx.zeroed(2);
          Sink::Buffer d = dx.needs(0) ? dx.buffer(0) : Sink::Buffer{};
          for (Index r = 0; n > 0 && r < rows; r++) {
            const T* kept = stats.data<T>() + 3 * r;
            const RowStats<T> s{kept[0], kept[1], kept[2]};
            const T *row = vx.data<T>() + r * n, *dy_row = dy.data<T>() + r * n;
            backward_gain(n, s, row, dy_row, dgain.defined() ? dgain.data<T>() : nullptr,
                          dbias.defined() ? dbias.data<T>() : nullptr);
            if (d.gradient.defined())
              backward_row(n, s, centred, row, vg.data<T>(), dy_row, d.beta, d.gradient.data<T>() + r * n);
          }
        });
  });
}

void check_norm(GradSuite& g, bool centred) {
  auto check = [&](const char* label, const Shape& x, int axis, bool biased, double eps) {
    const Shape row(x.end() + axis, -axis);
    std::vector<Tensor> in{g.normal(x), g.normal(row)};
    if (biased) in.push_back(g.normal(row));
    auto bias = [](const Vars& v) {
      return v.size() > 2 ? v[2] : Var();
    };
    g.check(
        label, in,
        [=](const Vars& v) {
          return centred ? layer_norm(v[0], v[1], bias(v), axis, eps) : rms_norm(v[0], v[1], axis, eps);
        },
        [=](const Vars& v) { return norm_composed(v[0], v[1], bias(v), axis, eps, centred); });
  };
  check("rows", {3, 5}, -1, centred, 1e-5);
  check("batch", {2, 2, 9}, -1, centred, 1e-5);
  check("no bias", {2, 4}, -1, false, 1e-5);
  check("one row", {6}, -1, centred, 1e-5);
  check("size 1", {2, 1}, -1, centred, 1e-5);
  check("axis 1", {2, 3, 2}, -2, false, 0.1);
  check("axis 0", {2, 3, 2}, -3, false, 0.1);
}

// The definition from separate ops.
Var qk_norm_composed(const Var& x, const Var& gain, Index D, Index queries, Index keys, double eps) {
  const Index B = x.dim(0), T = x.dim(1), W = x.dim(2), heads = queries + keys;
  Var y = reshape(slice(x, 2, 0, heads * D), {B, T, heads, D});
  y = rms_norm(y, Tensor::full({D}, 1, x.dtype()), eps);
  Tensor row = Tensor::full({heads}, 0, Dtype::i32);  // of the gain
  std::fill_n(row.data<std::int32_t>() + queries, keys, 1);
  if (gain.defined()) y = y * index_select(reshape(gain, {-1, D}), row);
  return concat({reshape(y, {B, T, heads * D}), slice(x, 2, heads * D, W)}, 2);
}

void check_qk_norm(GradSuite& g) {
  auto check = [&](const char* label, Index D, Index queries, Index keys, Index extra, bool learned) {
    std::vector<Tensor> in{g.normal({2, 3, (queries + keys) * D + extra})};
    if (learned) in.push_back(g.normal({(keys > 0 ? 2 : 1) * D}));
    auto with = [=](auto f) {
      return [=](const Vars& v) {
        return f(v[0], learned ? v[1] : Var(), D, queries, keys, 1e-5);
      };
    };
    g.check(label, in, with(qk_norm), with(qk_norm_composed));
  };
  check("packed", 3, 2, 2, 6, true);
  check("grouped, no gain", 4, 4, 2, 8, false);
  check("queries", 5, 2, 0, 0, true);
}

const Op kLayerNorm("layer_norm", [](GradSuite& g) { check_norm(g, true); });
const Op kRmsNorm("rms_norm", [](GradSuite& g) { check_norm(g, false); });
const Op kQkNorm("qk_norm", [](GradSuite& g) { check_qk_norm(g); });

}  // namespace

// y = x / sqrt(mean(x^2) + eps) * gain in each of the first heads of every row.
Var qk_norm(const Var& x, const Var& gain, Index D, Index queries, Index keys, double eps) {
  const Index heads = queries + keys;
  QKV_CHECK(D > 0 && queries > 0 && keys >= 0 && x.rank() == 3 && x.dim(2) >= heads * D,
            "qk_norm: x must be [B, T, at least {}]; got {}", heads * D, x.shape());
  const Shape expected{(keys > 0 ? 2 : 1) * D};
  QKV_CHECK(!gain.defined() || (gain.shape() == expected && gain.dtype() == x.dtype()),
            "qk_norm: gain must be {} {}; got {} {}", x.dtype(), expected, gain.dtype(), gain.shape());
  if (x.is_symbolic()) return Tensor::symbolic(x.shape(), x.dtype());
  const Index rows = x.dim(0) * x.dim(1), W = x.dim(2), rest = W - heads * D;
  const Tensor scale = gain.defined() ? gain.value() : Tensor::full(expected, 1, x.dtype());
  const Input inputs[] = {x, gain};
  return dispatch("qk_norm", x.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::empty(x.shape(), x.dtype()), inverse = Tensor::empty({rows, heads}, x.dtype());
    for (Index r = 0; r < rows; r++) {
      const T* in = x.value().data<T>() + r * W;
      T* out = y.data<T>() + r * W;
      for (Index h = 0; h < heads; h++, in += D, out += D) {
        const RowStats<T> s = statistics(D, in, false, eps);
        inverse.data<T>()[r * heads + h] = s.inverse;
        forward_row<T>(D, s, in, scale.data<T>() + (h < queries ? 0 : D), nullptr, out);
      }
      std::copy_n(in, rest, out);
    }
    Note()("d_head", D)("queries", queries)("keys", keys)("eps", eps);
    return record(kQkNorm, inputs, gain.defined() ? 2 : 1, y,
                  [=, vx = x.value(), learned = gain.defined()](const Tensor& dy, Sink& dx) {
                    Tensor dgain;
                    if (learned && dx.needs(1)) dgain = dx.zeroed(1);
                    Sink::Buffer d = dx.needs(0) ? dx.buffer(0) : Sink::Buffer{};
                    for (Index i = 0; i < rows * heads; i++) {
                      const Index at = i / heads * W + i % heads * D, row = i % heads < queries ? 0 : D;
                      const RowStats<T> s{T(0), inverse.data<T>()[i], T(0)};
                      const T *in = vx.data<T>() + at, *g = dy.data<T>() + at;
                      if (dgain.defined()) backward_gain<T>(D, s, in, g, dgain.data<T>() + row, nullptr);
                      if (d.gradient.defined())
                        backward_row(D, s, false, in, scale.data<T>() + row, g, d.beta,
                                     d.gradient.data<T>() + at);
                    }
                    for (Index r = 0; d.gradient.defined() && r < rows; r++) {
                      const Index at = r * W + heads * D;
                      simd::apply_beta(d.beta, rest, d.gradient.data<T>() + at, dy.data<T>() + at,
                                       [](auto v) { return v; });
                    }
                  });
  });
}

Var layer_norm(const Var& x, const Var& gain, const Var& bias, double eps) {
  return norm(kLayerNorm, x, gain, bias, -1, eps, true);
}
Var layer_norm(const Var& x, const Var& gain, const Var& bias, int axis, double eps) {
  return norm(kLayerNorm, x, gain, bias, axis, eps, true);
}

Var rms_norm(const Var& x, const Var& gain, double eps) {
  return norm(kRmsNorm, x, gain, Var(), -1, eps, false);
}
Var rms_norm(const Var& x, const Var& gain, int axis, double eps) {
  return norm(kRmsNorm, x, gain, Var(), axis, eps, false);
}

}  // namespace qkv
