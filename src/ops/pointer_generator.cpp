#include "ops/pointer_generator.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/trace.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

// The definition from separate ops, in probabilities.
Var pointer_composed(const Var& logits, const Var& gate, const Var& scores, const Tensor& ids,
                     const Tensor& keep, Index W) {
  const Index B = logits.dim(0), T = logits.dim(1), V = logits.dim(2), S = scores.dim(2);
  const Tensor never = Tensor::scalar(-std::numeric_limits<double>::infinity(), scores.dtype());
  const Var seen = keep.defined() ? where(keep.reshape({B, 1, S}), scores, never) : scores;
  const Var written = softmax(logits) * sigmoid(gate), copied = softmax(seen) * sigmoid(neg(gate));
  const Tensor chosen = one_hot(ids, W, scores.dtype());  // [B, S, W]
  const Var wide = W > V ? concat({written, Tensor::zeros({B, T, W - V}, scores.dtype())}, -1) : written;
  return log(wide + matmul(copied, chosen));
}

const Op kPointerGenerator("pointer_generator", [](GradSuite& g) {
  auto check = [&](const char* label, Index T, Index V, const Tensor& ids, const Tensor& keep, Index W,
                   double scale = 1) {
    const Index B = ids.dim(0), S = ids.dim(1);
    g.check(
        label, {g.normal({B, T, V}, scale), g.normal({B, T, 1}, scale), g.normal({B, T, S}, scale)},
        [=](const Vars& in) { return pointer_generator(in[0], in[1], in[2], ids, keep, W); },
        [=](const Vars& in) { return pointer_composed(in[0], in[1], in[2], ids, keep, W); });
  };
  check("tokens of the vocabulary", 2, 5, g.ints({2, 4}, {1, 3, 1, 1, 0, 4, 2, 0}), {}, 5);
  check("padding", 2, 4, g.ints({2, 3}, {1, 3, 0, 2, 0, 0}), g.ints({2, 3}, {1, 1, 0, 1, 0, 0}), 4);
  check("new words", 1, 3, g.ints({2, 4}, {3, 4, 1, 3, 4, 3, 3, 3}), {}, 5);
  check("spread", 2, 3, g.ints({1, 3}, {0, 3, 3}), {}, 4, 6);
  check("size 1", 1, 1, g.ints({1, 1}, {0}), {}, 1);
});

template <class T>
T log_logistic(T x) {
  return std::min(x, T(0)) - std::log1p(std::exp(-std::abs(x)));
}
template <class T>
T log_of(const simd::LogSumExp<T>& sum) {
  return sum.top + std::log(sum.sum);
}

// What backward needs: of the written part log(sum(exp(logits))), [B, T]; of the copied part log(1 - s(g)) +
// log softmax(scores), [B, T, S], -inf at padding.
struct PointerParts {
  Tensor total, copied;
};

template <class T>
void log_mixture(Index B, Index length, Index V, Index S, Index W, const T* z, const T* g, const T* scores,
                 const std::int32_t* ids, const std::int32_t* keep, const PointerParts& parts, T* y) {
  constexpr T kNone = -std::numeric_limits<T>::infinity();
  T *total = const_cast<T*>(parts.total.data<T>()), *copied = const_cast<T*>(parts.copied.data<T>());
  for (Index row = 0; row < B * length; row++, z += V, scores += S, copied += S, y += W) {
    const Index b = row / length;
    total[row] = log_of(simd::log_sum_exp(V, z));
    const simd::Batch<T> shift(log_logistic(g[row]) - total[row]);
    simd::apply(V, y, z, [&](auto v) { return v + shift; });
    std::fill(y + V, y + W, kNone);
    for (Index i = 0; i < S; i++) copied[i] = !keep || keep[b * S + i] ? scores[i] : kNone;
    const T down = log_logistic(-g[row]) - log_of(simd::log_sum_exp(S, copied));
    for (Index i = 0; i < S; i++) {
      if (copied[i] == kNone) continue;
      copied[i] += down;
      T& sum = y[ids[b * S + i]];
      const T low = std::min(sum, copied[i]), high = std::max(sum, copied[i]);
      sum = high + std::log1p(std::exp(low - high));
    }
    std::replace(y + V, y + W, kNone, T(kNeverLog));
  }
}

// With the shares r_v = s(g) softmax(z)_v / p(v) of writing and q_i = (1 - s(g)) softmax(s)_i / p(ids_i) of
// copying token i, and G_v = dy_v r_v, Q_i = dy(ids_i) q_i:
//   dz = G - softmax(z) sum(G);  ds = Q - softmax(s) sum(Q);  dg = s(-g) sum(G) - s(g) sum(Q).
template <class T>
void mixture_gradient(Index B, Index length, Index V, Index S, Index W, const T* z, const T* g,
                      const std::int32_t* ids, const PointerParts& parts, const T* y, const T* dy, T beta,
                      T* dz, T* dg, T* ds) {
  const Tensor scratch = Tensor::empty({W + S}, DtypeOf<T>::value);
  T *G = const_cast<T*>(scratch.data<T>()), *Q = G + W;
  const T *total = parts.total.data<T>(), *copied = parts.copied.data<T>();
  for (Index row = 0; row < B * length; row++, z += V, copied += S, y += W, dy += W) {
    const std::int32_t* own = ids + row / length * S;
    const T write = log_logistic(g[row]), copy = log_logistic(-g[row]);
    std::copy_n(dy, W, G);
    T sum_Q = 0;
    for (Index i = 0; i < S; i++) {
      const Index v = own[i];
      if (v < V) G[v] = dy[v] * std::exp(write + z[v] - total[row] - y[v]);
      sum_Q += Q[i] = dy[v] * std::exp(copied[i] - y[v]);
    }
    const T sum_G = simd::sum(V, G);
    const simd::Batch<T> shift(total[row]), all(sum_G);
    if (dz)
      simd::apply_beta(double(beta), V, dz + row * V, G, z,
                       [&](auto one, auto v) { return one - simd::exp(v - shift) * all; });
    if (dg) dg[row] += std::exp(copy) * sum_G - std::exp(write) * sum_Q;
    for (Index i = 0; ds && i < S; i++) ds[row * S + i] += Q[i] - std::exp(copied[i] - copy) * sum_Q;
  }
}

}  // namespace

Var pointer_generator(const Var& logits, const Var& gate, const Var& scores, const Tensor& ids,
                      const Tensor& keep, Index W) {
  const bool three = logits.rank() == 3 && scores.rank() == 3;
  const Index B = three ? logits.dim(0) : 0, T = three ? logits.dim(1) : 0, V = three ? logits.dim(2) : 0,
              S = three ? scores.dim(2) : 0;
  QKV_CHECK(
      three && V > 0 && S > 0 && W >= V && gate.shape() == Shape({B, T, 1}) &&
          scores.shape() == Shape({B, T, S}) && gate.dtype() == logits.dtype() &&
          scores.dtype() == logits.dtype(),
      "pointer_generator: logits must be [B, T, V], gate [B, T, 1], scores [B, T, S], and W at least V; got "
      "logits {}, gate {}, scores {}, W {}",
      logits.shape(), gate.shape(), scores.shape(), W);
  for (const Tensor* t : {&ids, &keep})
    QKV_CHECK((t == &keep && !t->defined()) ||
                  (t->defined() && t->shape() == Shape{B, S} && t->dtype() == Dtype::i32),
              "pointer_generator: ids and keep must be i32 {}; got {}", Shape{B, S},
              t->defined() ? t->str() : "none");
  if (logits.is_symbolic()) return Tensor::symbolic({B, T, W}, logits.dtype());
  const std::int32_t* id = ids.data<std::int32_t>();
  for (Index i = 0; i < B * S; i++)
    QKV_CHECK(id[i] >= 0 && id[i] < W, "pointer_generator: id must be in [0, {}); got {} at position {}", W,
              id[i], i);
  const Dtype dtype = logits.dtype();
  const PointerParts parts{Tensor::empty({B, T}, dtype), Tensor::empty({B, T, S}, dtype)};
  Tensor y = Tensor::empty({B, T, W}, dtype);
  return dispatch("pointer_generator", dtype, [&](auto t) {
    using E = decltype(t);
    log_mixture<E>(B, T, V, S, W, logits.value().data<E>(), gate.value().data<E>(), scores.value().data<E>(),
                   id, keep.defined() ? keep.data<std::int32_t>() : nullptr, parts, y.data<E>());
    Note()("ids", ids)("keep", keep)("width", W);
    return record(kPointerGenerator, {logits, gate, scores}, y,
                  [=, z = logits.value(), g = gate.value()](const Tensor& dy, Sink& dx) {
                    Tensor dg, ds;
                    Sink::Buffer dz;
                    if (dx.needs(1)) dg = dx.zeroed(1);
                    if (dx.needs(2)) ds = dx.zeroed(2);
                    if (dx.needs(0)) dz = dx.buffer(0);
                    auto of = [](Tensor& t) {
                      return t.defined() ? t.data<E>() : nullptr;
                    };
                    mixture_gradient<E>(B, T, V, S, W, z.data<E>(), g.data<E>(), ids.data<std::int32_t>(),
                                        parts, y.template data<E>(), dy.data<E>(), E(dz.beta),
                                        of(dz.gradient), of(dg), of(ds));
                  });
  });
}

}  // namespace qkv
