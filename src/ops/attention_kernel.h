// Scaled dot-product attention on raw rows, block by block: the output, and the gradients of q, k, v. Of
// more than one block of keys, forward keeps two numbers per row of scores, from which backward computes the
// weights again (Rabe and Staats 2021, "Self-attention does not need O(n^2) memory"; Dao et al. 2022,
// "FlashAttention").
#pragma once
#include <optional>

#include "attention_scores.h"
#include "tensor/gemm.h"

namespace qkv::attention_kernel {

// Where the rows of q, k, v (or of their gradients) lie: base pointers and distances between rows.
template <class T>
struct HeadRows {
  T *q, *k, *v;
  Index ld_q, ld_k, ld_v;
};

// What forward leaves for backward. Up to 512 keys, weights are read back faster than computed again. A
// weight is exp(score - top) * factor.
struct Kept {
  Tensor statistics;             // [B, H, T, 2]: top and factor; factor is 0 where a query sees no key
  Tensor weights, used;          // [B, H, T, S] before and after dropout, if there is one block of keys
  std::optional<Stream> stream;  // of dropout

  Kept(const AttentionShape& p, Dtype dtype, bool symbolic, const Stream* random) {
    auto make = [&](const Shape& shape) {
      return symbolic ? Tensor::symbolic(shape, dtype) : Tensor::empty(shape, dtype);
    };
    statistics = make({p.B, p.H, p.T, 2});
    if (random) stream = *random;
    if (p.S > p.block.keys || p.softcap > 0) return;  // the gradient of a soft cap needs the scores
    weights = make({p.B, p.H, p.T, p.S});
    if (p.dropout > 0 && (random || symbolic)) used = make(weights.shape());
  }
};

template <class T>
class Attention {
 public:
  Attention(const AttentionShape& p, const HeadRows<const T>& in, const Kept& kept)
      : p(p), in(in), kept(kept), statistics(const_cast<T*>(kept.statistics.data<T>())) {}

  // y = (softmax(scale Q K^T) * mask) V. With several blocks of keys, a row is summed up relative to its
  // largest score so far; when that grows, the sums so far are scaled down.
  void forward(T* y) const {
    each_head([&](Index b, Index h, const Scratch& scratch) {
      for (Index t0 = 0; t0 < p.T; t0 += p.block.queries) {
        const Index n = std::min(p.block.queries, p.T - t0);
        T *y_rows = y + at_y(b, h, t0), *row = of_row(b, h, t0), beta = 0;
        for (Index r = 0; r < n; r++) row[2 * r] = -std::numeric_limits<T>::max(), row[2 * r + 1] = 0;
        for (Index s0 = 0; s0 < p.S; s0 += p.block.keys) {
          const Block k = block_at(p, b, h, t0, s0);
          if (k.keys() == 0) continue;
          const Weights w = weights_at(k, scratch);
          scores(k, w.weights, ld);
          for (Index r = 0; r < n; r++)
            add_row(k.keys(), w.weights + r * ld, row[2 * r], row[2 * r + 1], y_rows + r * ld_y);
          if (kept.stream) drop(k, w);
          gemm<T>(Trans::no, Trans::no, n, p.D_v, k.keys(), 1, w.used, ld, v(k), in.ld_v, beta, y_rows, ld_y);
          beta = 1;
        }
        for (Index r = 0; r < n; r++, row += 2) {
          if (beta == T(0)) std::fill_n(y_rows + r * ld_y, p.D_v, T(0));
          if (one_block) continue;
          row[1] = row[1] == T(0) ? T(0) : 1 / row[1];
          simd::scale(p.D_v, row[1], y_rows + r * ld_y);
        }
      }
    });
  }

  // dV = (W * mask)^T dY; dW = mask * dY V^T; dS = W (dW - mean), where mean = rowsum(W dW) = rowsum(Y dY);
  // dQ = scale dS K; dK = scale dS^T Q. With a softcap, s = c tanh(s0 / c), so ds0 = dS (1 - tanh^2).
  // The gradient of mask.relative is that of the scores after it, added up by distance in `relative`, [B, H,
  // R] or [B, T, H, R].
  void backward(const T* y, const T* dy, const HeadRows<T>& out, T beta_q, T beta_kv, T* relative) const {
    // Where blocks may be left out, all begins with zeros.
    const bool gaps = p.mask.keep.defined() || p.mask.key_keep.defined() || p.starts_late() || p.S == 0;
    const bool shared = p.mask.relative.rank() == 2;
    each_head([&](Index b, Index h, const Scratch& scratch) {
      T* dq = out.q ? out.q + b * p.T * out.ld_q + h * p.D : nullptr;
      T* dk = out.k ? out.k + b * p.S * out.ld_k + h / group * p.D : nullptr;
      T* dv = out.v ? out.v + b * p.S * out.ld_v + h / group * p.D_v : nullptr;
      const bool first = h % group == 0;
      if (gaps && beta_q == T(0)) clear(dq, p.T, out.ld_q, p.D);
      if (gaps && first && beta_kv == T(0)) clear(dk, p.S, out.ld_k, p.D), clear(dv, p.S, out.ld_v, p.D_v);
      for (Index s0 = 0; s0 < p.S; s0 += p.block.keys)
        // From the last queries, which see all keys, so that their products write every row of dK and dV.
        for (Index t0 = (p.T - 1) / p.block.queries * p.block.queries; t0 >= 0; t0 -= p.block.queries) {
          const Block k = block_at(p, b, h, t0, s0);
          if (k.keys() == 0) continue;
          const Index n = k.queries(), keys = k.keys(), at = at_y(b, h, t0);
          const T beta = first && k.t1 == p.T && !gaps ? beta_kv : T(1), scale = T(p.scale);
          const Weights w = weights_at(k, scratch);
          if (!kept.weights.defined()) {
            weights(k, w.weights, ld, scratch.tanh);
            if (kept.stream) drop(k, w);
          }
          if (dv)
            gemm<T>(Trans::yes, Trans::no, keys, p.D_v, n, 1, w.used, ld, dy + at, ld_y, beta,
                    dv + k.s0 * out.ld_v, out.ld_v);
          if (!dq && !dk && !relative) continue;
          T* ds = scratch.gradient;
          gemm<T>(Trans::no, Trans::yes, n, keys, p.D_v, 1, dy + at, ld_y, v(k), in.ld_v, 0, ds, ld);
          for (Index r = 0; r < n; r++) {
            T* row = ds + r * ld;
            const simd::Batch<T> one(T(1)),
                mean(one_block ? simd::dot(keys, w.used + r * ld, row)
                               : simd::dot(p.D_v, dy + at + r * ld_y, y + at + r * ld_y));
            simd::apply(keys, row, row, w.weights + r * ld, w.used + r * ld,
                        [&](auto d, auto w, auto used) { return used * d - w * mean; });
            if (relative)
              Distances(p.R, k.s0 - (t0 + r + p.S - p.T), keys)
                  .add_gradient(row, relative + ((shared ? b : b * p.T + t0 + r) * p.H + h) * p.R);
            if (scratch.tanh)
              simd::apply(seen(k, t0 + r), row, row, scratch.tanh + r * ld,
                          [&](auto d, auto u) { return d * (one - u * u); });
          }
          if (dq)
            gemm<T>(Trans::no, Trans::no, n, p.D, keys, scale, ds, ld, this->k(k), in.ld_k,
                    s0 == 0 && !gaps ? beta_q : T(1), dq + t0 * out.ld_q, out.ld_q);
          if (dk)
            gemm<T>(Trans::yes, Trans::no, keys, p.D, n, scale, ds, ld, q(k), in.ld_q, beta,
                    dk + k.s0 * out.ld_k, out.ld_k);
        }
    });
  }

  // The weights before dropout, [B, H, T, S], for captures.
  void show(T* all) const {
    std::fill_n(all, p.B * p.H * p.T * p.S, T(0));
    each_head([&](Index b, Index h, const Scratch&) {
      for (Index t0 = 0; t0 < p.T; t0 += p.block.queries)
        for (Index s0 = 0; s0 < p.S; s0 += p.block.keys) {
          const Block k = block_at(p, b, h, t0, s0);
          if (k.keys() > 0) weights(k, all + element(k), p.S);
        }
    });
  }

 private:
  // Room for blocks of scores, with `ld` elements from row to row. `tanh` is null without a soft cap.
  struct Scratch {
    T *weights, *used, *gradient, *tanh;
  };
  // Where the weights of a block are, before and after dropout.
  struct Weights {
    T *weights, *used;
  };

  // f(b, h, scratch) for all heads, on the workers where these are free and the work is worth it. A worker
  // takes all heads that share their keys.
  template <class F>
  void each_head(const F& f) const {
    constexpr Index kLarge = 1 << 22;
    const bool alone = in_task() || p.B * p.H * p.T * p.S * (p.D + p.D_v) < kLarge;
    const Index block = std::min(p.block.queries, p.T) * ld;
    Tensor scratch = Tensor::empty({alone ? 1 : pool().size(), 4 * block}, DtypeOf<T>::value);
    auto heads = [&](int task, int worker) {
      T* x = scratch.data<T>() + worker * 4 * block;
      const Scratch own{x, x + block, x + 2 * block, p.softcap > 0 ? x + 3 * block : nullptr};
      const Index b = task / p.H_kv, h = task % p.H_kv * group;
      for (Index i = 0; i < group; i++) f(b, h + i, own);
    };
    const int tasks = int(p.B * p.H_kv);
    if (!alone) return pool().run(tasks, heads);
    for (int i = 0; i < tasks; i++) heads(i, 0);
  }

  const T* q(const Block& k) const { return in.q + (k.b * p.T + k.t0) * in.ld_q + k.h * p.D; }
  const T* k(const Block& k) const { return in.k + (k.b * p.S + k.s0) * in.ld_k + k.h / group * p.D; }
  const T* v(const Block& k) const { return in.v + (k.b * p.S + k.s0) * in.ld_v + k.h / group * p.D_v; }
  Index at_y(Index b, Index h, Index t) const { return (b * p.T + t) * ld_y + h * p.D_v; }
  T* of_row(Index b, Index h, Index t) const { return statistics + 2 * ((b * p.H + h) * p.T + t); }
  // The first element of a block in [B, H, T, S].
  Index element(const Block& k) const { return ((k.b * p.H + k.h) * p.T + k.t0) * p.S + k.s0; }
  Weights weights_at(const Block& k, const Scratch& scratch) const {
    if (!kept.weights.defined()) return {scratch.weights, kept.stream ? scratch.used : scratch.weights};
    auto in = [&](const Tensor& t) {
      return const_cast<T*>(t.data<T>()) + element(k);
    };
    return {in(kept.weights), in(kept.stream ? kept.used : kept.weights)};
  }
  // How many keys of the block query t can see.
  Index seen(const Block& k, Index t) const { return std::clamp(p.end_of(t) - k.s0, Index(0), k.keys()); }
  static void clear(T* x, Index rows, Index ld, Index n) {
    for (Index r = 0; x && r < rows; r++) std::fill_n(x + r * ld, n, T(0));
  }

  // The scores of a block, -inf where a query cannot see a key.
  void scores(const Block& k, T* s, Index ld, T* tanh = nullptr) const {
    gemm<T>(Trans::no, Trans::yes, k.queries(), k.keys(), p.D, T(p.scale), q(k), in.ld_q, this->k(k), in.ld_k,
            0, s, ld);
    for (Index t = k.t0; t < k.t1; t++, s += ld, tanh += tanh ? ld : 0) {
      const Index n = seen(k, t);
      score(p, k.b, k.h, t, k.s0, n, s, tanh);
      std::fill(s + n, s + k.keys(), -std::numeric_limits<T>::infinity());
      std::fill_n(s, std::clamp(p.start_of(k.b, t) - k.s0, Index(0), n), -std::numeric_limits<T>::infinity());
    }
  }
  // n more scores of a row -> exp(score - top), or weights of a single block. `factor` is at first their sum.
  void add_row(Index n, T* row, T& top, T& factor, T* y_row) const {
    const T largest = simd::max(n, row);
    if (!(largest <= top)) {  // a NaN comes through
      if (factor != T(0)) {
        const T down = std::exp(top - largest);
        factor *= down;
        simd::scale(p.D_v, down, y_row);
      }
      top = largest;
    }
    const simd::Batch<T> shift(top);
    simd::apply(n, row, [&](auto s) { return simd::exp(s - shift); });
    factor += simd::sum(n, row);
    if (!one_block) return;
    factor = factor == T(0) ? T(0) : 1 / factor;
    simd::scale(n, factor, row);
  }
  // The weights of a block, from the statistics.
  void weights(const Block& k, T* w, Index ld, T* tanh = nullptr) const {
    scores(k, w, ld, tanh);
    const T* row = of_row(k.b, k.h, k.t0);
    for (Index r = 0; r < k.queries(); r++, row += 2) {
      const simd::Batch<T> top(row[0]), factor(row[1]);
      simd::apply(k.keys(), w + r * ld, [&](auto s) { return simd::exp(s - top) * factor; });
    }
  }
  // used = weights * mask, the mask being 0 or 1 / (1 - dropout). Neighbouring rows are drawn at once.
  void drop(const Block& k, const Weights& w) const {
    const Index n = k.queries(), draws = ld == p.S ? 1 : n;
    const Index length = ld == p.S ? (n - 1) * ld + k.keys() : k.keys();
    for (Index r = 0; r < draws; r++)
      keep_mask(*kept.stream, std::uint64_t(element(k) + r * p.S), T(p.dropout), w.used + r * ld,
                std::size_t(length), T(1 / (1 - p.dropout)));
    for (Index r = 0; r < n; r++)
      simd::apply(k.keys(), w.used + r * ld, w.used + r * ld, w.weights + r * ld,
                  [](auto mask, auto w) { return w * mask; });
  }

  const AttentionShape& p;
  const HeadRows<const T> in;
  const Kept& kept;
  T* const statistics;
  const bool one_block = p.S <= p.block.keys;
  const Index group = p.H / p.H_kv, ld_y = p.H * p.D_v;
  // From row to row of a block. Rows whose distance is a power of two would compete for places in the
  // first-level cache.
  const Index ld = one_block ? p.S : p.block.keys + 16;
};

}  // namespace qkv::attention_kernel
