// Scaled dot-product attention on raw rows: weights and output, and the gradients of q, k, v.
#pragma once
#include <algorithm>

#include "qkv/ops/attention.h"
#include "tensor/gemm.h"
#include "tensor/rows.h"

namespace qkv::attention_kernel {

// Queries are handled in chunks, so that under a causal mask the keys after a chunk are never computed.
constexpr Index kChunk = 64;

// The sizes of one call, and its checked options.
struct AttentionShape : AttentionOptions {
  Index B, T, S, D, D_v, H, H_kv;
  AttentionShape(Index B, Index T, Index S, Index D, Index D_v, Dtype dtype, const AttentionOptions& o)
      : AttentionOptions(o), B(B), T(T), S(S), D(D), D_v(D_v), H(o.n_head), H_kv(o.n_kv_head) {
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
  // Keys that queries before t1 can see.
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
struct HeadRows {
  T *q, *k, *v;
  Index ld_q, ld_k, ld_v;
};

// Scores of one query -> weights, in place; entries past those it may see become zero.
template <class T>
void weights_of_query(const AttentionShape& p, Index b, Index h, Index t, T* row) {
  const Index keys = p.keys(t + 1);
  if (p.softcap > 0) {  // c tanh(s / c)
    const simd::Batch<T> c(T(p.softcap)), inverse(T(1 / p.softcap));
    simd::apply(keys, row, [&](auto s) { return c * simd::tanh(s * inverse); });
  }
  if (const T* bias = p.score_row<T>(p.mask.bias, b, h, t)) simd::add(keys, row, bias);
  if (p.mask.slopes.defined()) {
    const T slope = p.mask.slopes.data<T>()[h];
    const Index own = t + p.S - p.T;  // the key at the query's position
    for (Index s = 0; s < keys; s++) row[s] -= slope * T(s < own ? own - s : s - own);
  }
  for (const std::int32_t* keep : {p.key_row(b), p.score_row<std::int32_t>(p.mask.keep, b, h, t)})
    if (keep)
      for (Index s = 0; s < keys; s++) row[s] = keep[s] ? row[s] : -std::numeric_limits<T>::infinity();
  std::fill(row + keys, row + p.S, T(0));
  simd::softmax_row(keys, row, row);
}

// dropped: 0 or 1 / (1 - p), undefined without dropout; used: weights * dropped, or the weights themselves.
struct Weights {
  Tensor weights, dropped, used;
  template <class T>
  const T* mask() const {
    return dropped.defined() ? dropped.data<T>() : nullptr;
  }
};

// weights = softmax(scale Q K^T); y = (weights * dropped) V
template <class T>
void forward(const AttentionShape& p, const HeadRows<const T>& in, Weights& w, T* y) {
  T *weights = w.weights.data<T>(), *used = w.used.data<T>();
  const T* dropped = w.mask<T>();
  const Index group = p.H / p.H_kv, ld_y = p.H * p.D_v;
  for (Index b = 0; b < p.B; b++)
    for (Index h = 0; h < p.H; h++)
      for (Index t0 = 0; t0 < p.T; t0 += kChunk) {
        const Index t1 = std::min(p.T, t0 + kChunk), n = t1 - t0, keys = p.keys(t1);
        const T* k = in.k + b * p.S * in.ld_k + h / group * p.D;
        const T* v = in.v + b * p.S * in.ld_v + h / group * p.D_v;
        const Index at = ((b * p.H + h) * p.T + t0) * p.S;
        gemm<T>(Trans::no, Trans::yes, n, keys, p.D, T(p.scale), in.q + (b * p.T + t0) * in.ld_q + h * p.D,
                in.ld_q, k, in.ld_k, 0, weights + at, p.S);
        for (Index t = t0; t < t1; t++) weights_of_query(p, b, h, t, weights + at + (t - t0) * p.S);
        if (dropped)
          simd::apply(n * p.S, used + at, weights + at, dropped + at, [](auto w, auto m) { return w * m; });
        gemm<T>(Trans::no, Trans::no, n, p.D_v, keys, 1, used + at, p.S, v, in.ld_v, 0,
                y + (b * p.T + t0) * ld_y + h * p.D_v, ld_y);
      }
}

// dV = W^T dY; dW = dY V^T; dS = W (dW - rowsum(W dW)); dQ = scale dS K; dK = scale dS^T Q
// With a softcap the scores were s = c tanh(s0 / c), so dS is followed by ds0 = dS (1 - (s / c)^2).
template <class T>
void backward(const AttentionShape& p, const HeadRows<const T>& in, const Weights& w, const T* dy,
              const HeadRows<T>& out, T beta_q, T beta_kv) {
  const T *weights = w.weights.data<T>(), *used = w.used.data<T>(), *dropped = w.mask<T>();
  const Index group = p.H / p.H_kv, ld_y = p.H * p.D_v;
  const T scale = T(p.scale);
  const bool capped = p.softcap > 0;
  const Shape chunk{std::min(kChunk, p.T), p.S};
  Tensor scratch = Tensor::empty(chunk, DtypeOf<T>::value), uncapped;  // uncapped: s0, computed again
  if (capped) uncapped = Tensor::empty(chunk, DtypeOf<T>::value);
  T* ds = scratch.data<T>();
  for (Index b = 0; b < p.B; b++)
    for (Index h = 0; h < p.H; h++) {
      const Index k = b * p.S * in.ld_k + h / group * p.D, v = b * p.S * in.ld_v + h / group * p.D_v;
      const Index dk = b * p.S * out.ld_k + h / group * p.D, dv = b * p.S * out.ld_v + h / group * p.D_v;
      // From the last chunk, which sees all keys, so that the first product writes every row of dK and dV.
      for (Index t1 = p.T; t1 > 0;) {
        const Index t0 = (t1 - 1) / kChunk * kChunk, n = t1 - t0, keys = p.keys(t1);
        const Index at = ((b * p.H + h) * p.T + t0) * p.S, q = (b * p.T + t0) * in.ld_q + h * p.D;
        const T* dy_chunk = dy + (b * p.T + t0) * ld_y + h * p.D_v;
        const T beta = t1 == p.T && h % group == 0 ? beta_kv : T(1);
        t1 = t0;
        if (out.v)
          gemm<T>(Trans::yes, Trans::no, keys, p.D_v, n, 1, used + at, p.S, dy_chunk, ld_y, beta, out.v + dv,
                  out.ld_v);
        if (!out.q && !out.k) continue;
        gemm<T>(Trans::no, Trans::yes, n, keys, p.D_v, 1, dy_chunk, ld_y, in.v + v, in.ld_v, 0, ds, p.S);
        if (capped)
          gemm<T>(Trans::no, Trans::yes, n, keys, p.D, scale, in.q + q, in.ld_q, in.k + k, in.ld_k, 0,
                  uncapped.data<T>(), p.S);
        for (Index r = 0; r < n; r++) {
          T* row = ds + r * p.S;
          if (dropped)
            simd::apply(keys, row, row, dropped + at + r * p.S, [](auto d, auto m) { return d * m; });
          simd::softmax_gradient(keys, weights + at + r * p.S, row, 0, row);
          if (!capped) continue;
          const simd::Batch<T> one(T(1)), inverse(T(1 / p.softcap));
          simd::apply(keys, row, row, uncapped.data<T>() + r * p.S, [&](auto d, auto s0) {
            const auto tanh = simd::tanh(s0 * inverse);
            return d * (one - tanh * tanh);
          });
        }
        if (out.q)
          gemm<T>(Trans::no, Trans::no, n, p.D, keys, scale, ds, p.S, in.k + k, in.ld_k, beta_q,
                  out.q + (b * p.T + t0) * out.ld_q + h * p.D, out.ld_q);
        if (out.k)
          gemm<T>(Trans::yes, Trans::no, keys, p.D, n, scale, ds, p.S, in.q + q, in.ld_q, beta, out.k + dk,
                  out.ld_k);
      }
    }
}

}  // namespace qkv::attention_kernel
