// Scaled dot-product attention on raw rows: weights and output, and the gradients of q, k, v.
#pragma once
#include <algorithm>
#include <limits>

#include "qkv/ops/attention.h"
#include "qkv/tensor/gemm.h"
#include "qkv/tensor/simd.h"

namespace qkv::attention_kernel {

// Queries are handled in chunks, so that under a causal mask the keys after a chunk are never computed.
constexpr Index kChunk = 64;

struct Plan {
  Index B, T, S, H, H_kv, D, D_v;
  double scale, softcap;
  AttentionMask mask;
  Plan(Index B, Index T, Index S, Index D, Index D_v, Dtype dtype, const AttentionOptions& o)
      : B(B),
        T(T),
        S(S),
        H(o.n_head),
        H_kv(o.n_kv_head),
        D(D),
        D_v(D_v),
        scale(o.scale),
        softcap(o.softcap),
        mask(o.mask) {
    QKV_CHECK(!mask.causal || S >= T,
              "attention: causal mask needs at least as many keys as queries; got {} and {}", S, T);
    QKV_CHECK(!mask.key_keep.defined() || mask.key_keep.shape() == Shape({B, S}),
              "attention: key_keep must be {}; got {} (did a layer change the length?)", Shape({B, S}),
              mask.key_keep.shape());
    check_scores("keep", mask.keep);
    check_scores("bias", mask.bias);
    QKV_CHECK(!mask.slopes.defined() || (mask.slopes.shape() == Shape{H} && mask.slopes.dtype() == dtype),
              "attention: slopes must be {} {}; got {} {}", dtype, Shape{H}, mask.slopes.dtype(),
              mask.slopes.shape());
    QKV_CHECK(!mask.bias.defined() || mask.bias.dtype() == dtype, "attention: bias must be {}; got {}", dtype,
              mask.bias.dtype());
  }
  void check_scores(const char* name, const Tensor& t) const {
    QKV_CHECK(!t.defined() || t.shape() == Shape({T, S}) || t.shape() == Shape({B, T, S}) ||
                  t.shape() == Shape({B, H, T, S}),
              "attention: {} must be {}, {} or {}; got {}", name, Shape({T, S}), Shape({B, T, S}),
              Shape({B, H, T, S}), t.shape());
  }
  // Keys that queries [t0, t1) of a chunk can see.
  Index keys(Index t1) const { return mask.causal ? std::min(S, t1 + S - T) : S; }
  // Row of the explicit mask or of the bias, or null.
  template <class E>
  const E* score_row(const Tensor& scores, Index b, Index h, Index t) const {
    if (!scores.defined()) return nullptr;
    Index matrix = scores.rank() == 2 ? 0 : scores.rank() == 3 ? b : b * H + h;
    return scores.data<E>() + (matrix * T + t) * S;
  }
  const std::int32_t* key_row(Index b) const {
    return mask.key_keep.defined() ? mask.key_keep.data<std::int32_t>() + b * S : nullptr;
  }
};

// Where the rows of q, k, v (or of their gradients) lie: base pointers and distances between rows.
template <class T>
struct Rows {
  T *q, *k, *v;
  Index ld_q, ld_k, ld_v;
};

// Scores s become c tanh(s / c).
template <class T>
void cap(const Plan& p, Index n, T* scores) {
  const simd::Batch<T> c(static_cast<T>(p.softcap)), inverse(static_cast<T>(1 / p.softcap));
  simd::apply<T>(
      n, scores, [&](auto s) { return c * simd::tanh(s * inverse); }, scores);
}

// Scores of one query -> weights, in place; entries past `keys` become zero.
template <class T>
void softmax_row(const Plan& p, Index b, Index h, Index t, T* row) {
  const T minus_infinity = -std::numeric_limits<T>::infinity();
  Index keys = p.mask.causal ? std::min(p.S, t + 1 + p.S - p.T) : p.S;
  if (p.softcap > 0) cap(p, keys, row);
  if (const T* bias = p.score_row<T>(p.mask.bias, b, h, t))
    for (Index s = 0; s < keys; s++) row[s] += bias[s];
  if (p.mask.slopes.defined()) {
    const T slope = p.mask.slopes.data<T>()[h];
    const Index own = t + p.S - p.T;  // the key at the query's position
    for (Index s = 0; s < keys; s++) row[s] -= slope * static_cast<T>(s < own ? own - s : s - own);
  }
  for (const std::int32_t* keep : {p.key_row(b), p.score_row<std::int32_t>(p.mask.keep, b, h, t)})
    if (keep)
      for (Index s = 0; s < keys; s++) row[s] = keep[s] ? row[s] : minus_infinity;
  std::fill(row + keys, row + p.S, T(0));
  const T top = keys > 0 ? simd::max(keys, row) : minus_infinity;
  if (top == minus_infinity) return std::fill_n(row, keys, T(0)), void();
  const simd::Batch<T> shift(top);
  simd::apply<T>(
      keys, row, [&](auto v) { return simd::exp(v - shift); }, row);
  const simd::Batch<T> inverse(T(1) / simd::sum<T>(
                                          keys, [](auto v) { return v; }, row));
  simd::apply<T>(
      keys, row, [&](auto v) { return v * inverse; }, row);
}

// weights = softmax(scale Q K^T); y = (weights * dropped) V
template <class T>
void forward(const Plan& p, const Rows<const T>& in, T* weights, const T* dropped, T* used, T* y) {
  const Index group = p.H / p.H_kv, ld_y = p.H * p.D_v;
  for (Index b = 0; b < p.B; b++)
    for (Index h = 0; h < p.H; h++)
      for (Index t0 = 0; t0 < p.T; t0 += kChunk) {
        const Index t1 = std::min(p.T, t0 + kChunk), n = t1 - t0, keys = p.keys(t1);
        const T* k = in.k + b * p.S * in.ld_k + h / group * p.D;
        const T* v = in.v + b * p.S * in.ld_v + h / group * p.D_v;
        const Index at = ((b * p.H + h) * p.T + t0) * p.S;
        gemm<T>(Trans::no, Trans::yes, n, keys, p.D, static_cast<T>(p.scale),
                in.q + (b * p.T + t0) * in.ld_q + h * p.D, in.ld_q, k, in.ld_k, 0, weights + at, p.S);
        for (Index t = t0; t < t1; t++) softmax_row(p, b, h, t, weights + at + (t - t0) * p.S);
        if (dropped)
          simd::apply<T>(
              n * p.S, used + at, [](auto w, auto m) { return w * m; }, weights + at, dropped + at);
        gemm<T>(Trans::no, Trans::no, n, p.D_v, keys, 1, (dropped ? used : weights) + at, p.S, v, in.ld_v, 0,
                y + (b * p.T + t0) * ld_y + h * p.D_v, ld_y);
      }
}

// dV = W^T dY; dW = dY V^T; dS = W (dW - rowsum(W dW)); dQ = scale dS K; dK = scale dS^T Q
// With a softcap the scores were s = c tanh(s0 / c), so dS is followed by ds0 = dS (1 - (s / c)^2).
template <class T>
void backward(const Plan& p, const Rows<const T>& in, const T* weights, const T* dropped, const T* used,
              const T* dy, const Rows<T>& out, T beta_q, T beta_kv) {
  const Index group = p.H / p.H_kv, ld_y = p.H * p.D_v;
  const T scale = static_cast<T>(p.scale);
  const Shape chunk{std::min(kChunk, p.T), p.S};
  Tensor scratch = Tensor::empty(chunk, DtypeOf<T>::value),
         again;  // again: the capped scores, computed again
  if (p.softcap > 0) again = Tensor::empty(chunk, DtypeOf<T>::value);
  T* ds = scratch.data<T>();
  for (Index b = 0; b < p.B; b++)
    for (Index h = 0; h < p.H; h++) {
      const Index k = b * p.S * in.ld_k + h / group * p.D, v = b * p.S * in.ld_v + h / group * p.D_v;
      const Index dk = b * p.S * out.ld_k + h / group * p.D, dv = b * p.S * out.ld_v + h / group * p.D_v;
      // From the last chunk, which sees all keys, so that the first product writes every row of dK and dV.
      for (Index t1 = p.T; t1 > 0;) {
        const Index t0 = (t1 - 1) / kChunk * kChunk, n = t1 - t0, keys = p.keys(t1);
        const Index at = ((b * p.H + h) * p.T + t0) * p.S;
        const T* dy_chunk = dy + (b * p.T + t0) * ld_y + h * p.D_v;
        const T beta = t1 == p.T && h % group == 0 ? beta_kv : T(1);
        if (out.v)
          gemm<T>(Trans::yes, Trans::no, keys, p.D_v, n, 1, (dropped ? used : weights) + at, p.S, dy_chunk,
                  ld_y, beta, out.v + dv, out.ld_v);
        if (out.q || out.k) {
          gemm<T>(Trans::no, Trans::yes, n, keys, p.D_v, 1, dy_chunk, ld_y, in.v + v, in.ld_v, 0, ds, p.S);
          for (Index r = 0; r < n; r++) {
            T* row = ds + r * p.S;
            const T* w = weights + at + r * p.S;
            if (dropped)
              simd::apply<T>(
                  keys, row, [](auto d, auto m) { return d * m; }, row, dropped + at + r * p.S);
            const simd::Batch<T> mean(simd::sum<T>(
                keys, [](auto a, auto d) { return a * d; }, w, row));
            simd::apply<T>(
                keys, row, [&](auto d, auto a) { return a * (d - mean); }, row, w);
          }
        }
        const Index q = (b * p.T + t0) * in.ld_q + h * p.D;
        if (p.softcap > 0 && (out.q || out.k)) {
          T* s = again.data<T>();
          const simd::Batch<T> one(T(1)), inverse(static_cast<T>(1 / p.softcap));
          gemm<T>(Trans::no, Trans::yes, n, keys, p.D, scale, in.q + q, in.ld_q, in.k + k, in.ld_k, 0, s,
                  p.S);
          for (Index r = 0; r < n; r++)
            simd::apply<T>(
                keys, ds + r * p.S,
                [&](auto d, auto s0) {
                  const auto tanh = simd::tanh(s0 * inverse);
                  return d * (one - tanh * tanh);
                },
                ds + r * p.S, s + r * p.S);
        }
        if (out.q)
          gemm<T>(Trans::no, Trans::no, n, p.D, keys, scale, ds, p.S, in.k + k, in.ld_k, beta_q,
                  out.q + (b * p.T + t0) * out.ld_q + h * p.D, out.ld_q);
        if (out.k)
          gemm<T>(Trans::yes, Trans::no, keys, p.D, n, scale, ds, p.S, in.q + q, in.ld_q, beta, out.k + dk,
                  out.ld_k);
        t1 = t0;
      }
    }
}

}  // namespace qkv::attention_kernel
