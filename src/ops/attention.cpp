#include "qkv/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "qkv/autograd/gradcheck.h"
#include "qkv/tensor/gemm.h"
#include "qkv/tensor/simd.h"

namespace qkv {
namespace {

void gradcheck_masks(GradSuite& g, bool packed) {
  struct Case {
    const char* label;
    Index H, H_kv, T, S;
    AttentionMask mask;
  };
  auto bits = [](const Shape& shape, std::vector<std::int32_t> values) {
    return Tensor::from(shape, values);
  };
  const Case cases[] = {
      {"one head", 1, 1, 3, 3, {}},
      {"two heads", 2, 2, 3, 3, {}},
      {"causal", 2, 2, 4, 4, {true, {}, {}}},
      {"padding", 2, 2, 3, 3, {false, bits({2, 3}, {1, 1, 0, 1, 0, 0}), {}}},
      {"fully masked row", 1, 1, 2, 2, {false, {}, bits({2, 2}, {0, 0, 1, 1})}},
      {"grouped", 4, 2, 3, 3, {}},
      {"length 1", 2, 2, 1, 1, {}},
      {"cross", 2, 1, 2, 3, {false, bits({2, 3}, {1, 1, 1, 1, 0, 1}), {}}},
      {"causal with past", 1, 1, 2, 4, {true, {}, {}}},
  };
  for (const Case& c : cases) {
    const Index D = 2, B = 2;
    AttentionOptions options(c.H, D);
    options.n_kv_head = c.H_kv;
    options.mask = c.mask;
    if (packed && c.T == c.S)
      g.check(c.label, {g.normal({B, c.T, (c.H + 2 * c.H_kv) * D})},
              [=](const std::vector<Var>& in) { return attention_packed(in[0], options); });
    if (!packed)
      g.check(c.label,
              {g.normal({B, c.T, c.H * D}), g.normal({B, c.S, c.H_kv * D}), g.normal({B, c.S, c.H_kv * D})},
              [=](const std::vector<Var>& in) { return attention(in[0], in[1], in[2], options); });
  }
}
const Op kAttention("attention", [](GradSuite& g) { gradcheck_masks(g, false); });
const Op kAttentionPacked("attention_packed", [](GradSuite& g) { gradcheck_masks(g, true); });

// Queries are handled in chunks, so that under a causal mask the keys after a chunk are never computed.
constexpr Index kChunk = 64;

struct Plan {
  Index B, T, S, H, H_kv, D;
  double scale;
  AttentionMask mask;
  Plan(Index B, Index T, Index S, Index D, const AttentionOptions& o)
      : B(B), T(T), S(S), H(o.n_head), H_kv(o.n_kv_head), D(D), scale(o.scale), mask(o.mask) {
    QKV_CHECK(!mask.causal || S >= T,
              "attention: causal mask needs at least as many keys as queries; got {} and {}", S, T);
    QKV_CHECK(!mask.key_keep.defined() || mask.key_keep.shape() == Shape({B, S}),
              "attention: key_keep must be {}; got {}", Shape({B, S}), mask.key_keep.shape());
    const Shape& keep = mask.keep.shape();
    QKV_CHECK(!mask.keep.defined() || keep == Shape({T, S}) || keep == Shape({B, T, S}) ||
                  keep == Shape({B, H, T, S}),
              "attention: keep must be {}, {} or {}; got {}", Shape({T, S}), Shape({B, T, S}),
              Shape({B, H, T, S}), keep);
  }
  // Keys that queries [t0, t1) of a chunk can see.
  Index keys(Index t1) const { return mask.causal ? std::min(S, t1 + S - T) : S; }
  // Row of the explicit mask, or null.
  const std::int32_t* keep_row(Index b, Index h, Index t) const {
    if (!mask.keep.defined()) return nullptr;
    Index matrix = mask.keep.rank() == 2 ? 0 : mask.keep.rank() == 3 ? b : b * H + h;
    return mask.keep.data<std::int32_t>() + (matrix * T + t) * S;
  }
  const std::int32_t* key_row(Index b) const {
    return mask.key_keep.defined() ? mask.key_keep.data<std::int32_t>() + b * S : nullptr;
  }
};

// Where the rows of q, k, v (or of their gradients) lie: base pointers and distances between rows.
template <class T>
struct Rows {
  T *q, *k, *v;
  Index ld_q, ld_kv;
};

// Scores of one query -> weights, in place; entries past `keys` become zero.
template <class T>
void softmax_row(const Plan& p, Index b, Index h, Index t, T* row) {
  const T minus_infinity = -std::numeric_limits<T>::infinity();
  Index keys = p.mask.causal ? std::min(p.S, t + 1 + p.S - p.T) : p.S;
  for (const std::int32_t* keep : {p.key_row(b), p.keep_row(b, h, t)})
    if (keep)
      for (Index s = 0; s < keys; s++) row[s] = keep[s] ? row[s] : minus_infinity;
  std::fill(row + keys, row + p.S, T(0));
  const T top = keys > 0 ? simd::max(keys, row) : minus_infinity;
  if (top == minus_infinity) return std::fill_n(row, keys, T(0)), void();
  const simd::Batch<T> shift(top);
  simd::apply<T>(
      keys, row, [&](auto v) { return xsimd::exp(v - shift); }, row);
  const simd::Batch<T> inverse(T(1) / simd::sum<T>(
                                          keys, [](auto v) { return v; }, row));
  simd::apply<T>(
      keys, row, [&](auto v) { return v * inverse; }, row);
}

// weights = softmax(scale Q K^T); y = (weights * dropped) V
template <class T>
void forward(const Plan& p, const Rows<const T>& in, T* weights, const T* dropped, T* used, T* y) {
  const Index group = p.H / p.H_kv, ld_y = p.H * p.D;
  for (Index b = 0; b < p.B; b++)
    for (Index h = 0; h < p.H; h++)
      for (Index t0 = 0; t0 < p.T; t0 += kChunk) {
        const Index t1 = std::min(p.T, t0 + kChunk), n = t1 - t0, keys = p.keys(t1);
        const T* k = in.k + b * p.S * in.ld_kv + h / group * p.D;
        const T* v = in.v + b * p.S * in.ld_kv + h / group * p.D;
        const Index at = ((b * p.H + h) * p.T + t0) * p.S;
        gemm<T>(Trans::no, Trans::yes, n, keys, p.D, static_cast<T>(p.scale),
                in.q + (b * p.T + t0) * in.ld_q + h * p.D, in.ld_q, k, in.ld_kv, 0, weights + at, p.S);
        for (Index t = t0; t < t1; t++) softmax_row(p, b, h, t, weights + at + (t - t0) * p.S);
        if (dropped)
          simd::apply<T>(
              n * p.S, used + at, [](auto w, auto m) { return w * m; }, weights + at, dropped + at);
        gemm<T>(Trans::no, Trans::no, n, p.D, keys, 1, (dropped ? used : weights) + at, p.S, v, in.ld_kv, 0,
                y + (b * p.T + t0) * ld_y + h * p.D, ld_y);
      }
}

// dV = W^T dY; dW = dY V^T; dS = W (dW - rowsum(W dW)); dQ = scale dS K; dK = scale dS^T Q
template <class T>
void backward(const Plan& p, const Rows<const T>& in, const T* weights, const T* dropped, const T* used,
              const T* dy, const Rows<T>& out, T beta_q, T beta_kv) {
  const Index group = p.H / p.H_kv, ld_y = p.H * p.D;
  const T scale = static_cast<T>(p.scale);
  Tensor scratch = Tensor::empty({std::min(kChunk, p.T), p.S}, DtypeOf<T>::value);
  T* ds = scratch.data<T>();
  for (Index b = 0; b < p.B; b++)
    for (Index h = 0; h < p.H; h++) {
      const Index kv = b * p.S * in.ld_kv + h / group * p.D, dkv = b * p.S * out.ld_kv + h / group * p.D;
      // From the last chunk, which sees all keys, so that the first product writes every row of dK and dV.
      for (Index t1 = p.T; t1 > 0;) {
        const Index t0 = (t1 - 1) / kChunk * kChunk, n = t1 - t0, keys = p.keys(t1);
        const Index at = ((b * p.H + h) * p.T + t0) * p.S;
        const T* dy_chunk = dy + (b * p.T + t0) * ld_y + h * p.D;
        const T beta = t1 == p.T && h % group == 0 ? beta_kv : T(1);
        if (out.v)
          gemm<T>(Trans::yes, Trans::no, keys, p.D, n, 1, (dropped ? used : weights) + at, p.S, dy_chunk,
                  ld_y, beta, out.v + dkv, out.ld_kv);
        if (out.q || out.k) {
          gemm<T>(Trans::no, Trans::yes, n, keys, p.D, 1, dy_chunk, ld_y, in.v + kv, in.ld_kv, 0, ds, p.S);
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
        if (out.q)
          gemm<T>(Trans::no, Trans::no, n, p.D, keys, scale, ds, p.S, in.k + kv, in.ld_kv, beta_q,
                  out.q + (b * p.T + t0) * out.ld_q + h * p.D, out.ld_q);
        if (out.k)
          gemm<T>(Trans::yes, Trans::no, keys, p.D, n, scale, ds, p.S, in.q + q, in.ld_q, beta, out.k + dkv,
                  out.ld_kv);
        t1 = t0;
      }
    }
}

struct Weights {
  Tensor weights, dropped, used;  // dropped: 0 or 1 / (1 - p); used: weights * dropped
};

template <class T>
Tensor run(const Plan& p, const AttentionOptions& o, const Rows<const T>& in, Weights& w) {
  const Dtype dtype = DtypeOf<T>::value;
  const Shape shape{p.B, p.H, p.T, p.S};
  w.weights = Tensor::empty(shape, dtype);
  Tape* tape = Tape::current();
  const Stream* stream = o.dropout > 0 && tape ? tape->next_stream() : nullptr;
  if (stream) {
    w.dropped = Tensor::empty(shape, dtype);
    w.used = Tensor::empty(shape, dtype);
    keep_mask(*stream, 0, static_cast<T>(o.dropout), w.dropped.data<T>(),
              static_cast<std::size_t>(w.dropped.size()), static_cast<T>(1 / (1 - o.dropout)));
  }
  Tensor y = Tensor::empty({p.B, p.T, p.H * p.D}, dtype);
  forward<T>(p, in, w.weights.data<T>(), stream ? w.dropped.data<T>() : nullptr,
             stream ? w.used.data<T>() : nullptr, y.data<T>());
  return y;
}

template <class T>
void run_backward(const Plan& p, const Rows<const T>& in, const Weights& w, const Tensor& dy,
                  const Rows<T>& out, double beta_q, double beta_kv) {
  const bool drop = w.dropped.defined();
  backward<T>(p, in, w.weights.data<T>(), drop ? w.dropped.data<T>() : nullptr,
              drop ? w.used.data<T>() : nullptr, dy.data<T>(), out, static_cast<T>(beta_q),
              static_cast<T>(beta_kv));
}

void check_heads(const AttentionOptions& o) {
  QKV_CHECK(o.n_head > 0 && o.n_kv_head > 0 && o.n_head % o.n_kv_head == 0,
            "attention: n_head must be a multiple of n_kv_head; got {} and {}", o.n_head, o.n_kv_head);
}

}  // namespace

AttentionOptions::AttentionOptions(Index n_head, Index d_head)
    : n_head(n_head), n_kv_head(n_head), scale(1.0 / std::sqrt(static_cast<double>(d_head))) {}

Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& o, Tensor* weights) {
  check_heads(o);
  QKV_CHECK(q.rank() == 3 && k.rank() == 3 && k.shape() == v.shape() && q.dim(0) == k.dim(0) &&
                q.dim(2) % o.n_head == 0 && k.dim(2) * o.n_head == q.dim(2) * o.n_kv_head,
            "attention: q must be [B, T, {0} * D], k and v [B, S, {1} * D]; got q {2}, k {3}, v {4}",
            o.n_head, o.n_kv_head, q.shape(), k.shape(), v.shape());
  const Plan p(q.dim(0), q.dim(1), k.dim(1), q.dim(2) / o.n_head, o);
  if (q.is_symbolic()) return Tensor::symbolic(q.shape(), q.dtype());
  return dispatch("attention", q.dtype(), [&](auto t) {
    using T = decltype(t);
    auto rows = [](const Plan& p, const Tensor& q, const Tensor& k, const Tensor& v) {
      return Rows<const T>{q.data<T>(), k.data<T>(), v.data<T>(), p.H * p.D, p.H_kv * p.D};
    };
    Weights w;
    Tensor y = run<T>(p, o, rows(p, q.value(), k.value(), v.value()), w);
    if (weights) *weights = w.weights;
    return record(kAttention, {q, k, v}, y,
                  [=, vq = q.value(), vk = k.value(), vv = v.value()](const Tensor& dy, Sink& dx) {
                    // Buffers of k and v may be in different states, so both start from zero when new.
                    Tensor dq, dk, dv;
                    Rows<T> out{nullptr, nullptr, nullptr, p.H * p.D, p.H_kv * p.D};
                    double beta_q = 0;
                    if (dx.needs(1)) dk = dx.zeroed(1), out.k = dk.data<T>();
                    if (dx.needs(2)) dv = dx.zeroed(2), out.v = dv.data<T>();
                    if (dx.needs(0)) {
                      Sink::Buffer b = dx.buffer(0);
                      dq = b.gradient, beta_q = b.beta, out.q = dq.data<T>();
                    }
                    run_backward<T>(p, rows(p, vq, vk, vv), w, dy, out, beta_q, 1);
                  });
  });
}

Var attention_packed(const Var& qkv, const AttentionOptions& o, Tensor* weights) {
  check_heads(o);
  const Index heads = o.n_head + 2 * o.n_kv_head;
  QKV_CHECK(qkv.rank() == 3 && qkv.dim(2) % heads == 0,
            "attention_packed: qkv must be [B, T, {} * D]; got {}", heads, qkv.shape());
  const Index B = qkv.dim(0), T_ = qkv.dim(1), D = qkv.dim(2) / heads;
  const Plan p(B, T_, T_, D, o);
  if (qkv.is_symbolic()) return Tensor::symbolic({B, T_, o.n_head * D}, qkv.dtype());
  return dispatch("attention", qkv.dtype(), [&](auto t) {
    using T = decltype(t);
    auto rows = [](const Plan& p, auto* base) {
      const Index ld = (p.H + 2 * p.H_kv) * p.D;
      return Rows<std::remove_reference_t<decltype(*base)>>{base, base + p.H * p.D,
                                                            base + (p.H + p.H_kv) * p.D, ld, ld};
    };
    Weights w;
    Tensor y = run<T>(p, o, rows(p, qkv.value().data<T>()), w);
    if (weights) *weights = w.weights;
    return record(kAttentionPacked, {qkv}, y, [=, value = qkv.value()](const Tensor& dy, Sink& dx) {
      Sink::Buffer d = dx.buffer(0);
      run_backward<T>(p, rows(p, value.template data<T>()), w, dy, rows(p, d.gradient.template data<T>()),
                      d.beta, d.beta);
    });
  });
}

}  // namespace qkv
