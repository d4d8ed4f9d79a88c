// The scores of attention: the sizes of a call, blocks of queries and keys, and what a mask does to scores.
#pragma once
#include <algorithm>
#include <cmath>

#include "qkv/base/threads.h"
#include "qkv/ops/attention.h"
#include "tensor/rows.h"

namespace qkv::attention_kernel {

// A block of scores stays in the second-level cache, with its rows of K and V and of their gradients.
struct BlockSizes {
  Index queries = 64, keys = 512;
};
// While one lives, attention on its thread has blocks of these sizes: for tests of many small ones.
struct UseBlocks : ThreadScoped<UseBlocks> {
  explicit UseBlocks(const BlockSizes& sizes) : sizes(sizes) {}
  const BlockSizes sizes;
};

// The sizes of one call, and its checked options.
struct AttentionShape : AttentionOptions {
  Index B, T, S, D, D_v, H, H_kv, R = 0;  // R: columns of mask.relative
  BlockSizes block = UseBlocks::current() ? UseBlocks::current()->sizes : BlockSizes();
  AttentionShape(Index B, Index T, Index S, Index D, Index D_v, Dtype dtype, const AttentionOptions& o)
      : AttentionOptions(o), B(B), T(T), S(S), D(D), D_v(D_v), H(o.n_head), H_kv(o.n_kv_head) {
    QKV_CHECK(!mask.causal || S >= T,
              "attention: causal mask needs at least as many keys as queries; got {} and {}", S, T);
    QKV_CHECK(!mask.key_keep.defined() || mask.key_keep.shape() == Shape({B, S}),
              "attention: key_keep must be {}; got {} (did a layer change the length?)", Shape({B, S}),
              mask.key_keep.shape());
    QKV_CHECK(
        !mask.starts.defined() || (mask.starts.shape() == Shape{B, T} && mask.starts.dtype() == Dtype::i32),
        "attention: starts must be i32 {}; got {} {}", Shape{B, T}, mask.starts.dtype(), mask.starts.shape());
    check_scores("keep", mask.keep);
    check_scores("bias", mask.bias);
    if (mask.relative.defined()) {
      const Var& table = mask.relative;
      R = table.rank() > 0 ? table.dim(-1) : 0;
      QKV_CHECK(R % 2 == 1 && table.dtype() == dtype &&
                    (table.shape() == Shape{H, R} || table.shape() == Shape{B, T, H, R}),
                "attention: relative must be {} [{}, R] or [{}, {}, {}, R] with odd R; got {} {}", dtype, H,
                B, T, H, table.dtype(), table.shape());
    }
    QKV_CHECK(mask.window >= 0, "attention: window must not be negative; got {}", mask.window);
    QKV_CHECK(!mask.bias.defined() || mask.bias.dtype() == dtype, "attention: bias must be {}; got {}", dtype,
              mask.bias.dtype());
  }
  void check_scores(const char* name, const Tensor& t) const {
    QKV_CHECK(!t.defined() || t.shape() == Shape({T, S}) || t.shape() == Shape({B, T, S}) ||
                  t.shape() == Shape({B, H, T, S}),
              "attention: {} must be {}, {} or {}; got {}", name, Shape({T, S}), Shape({B, T, S}),
              Shape({B, H, T, S}), t.shape());
  }
  // Row of the explicit mask or of the bias, or null.
  template <class E>
  const E* score_row(const Tensor& scores, Index b, Index h, Index t) const {
    if (!scores.defined()) return nullptr;
    Index matrix = scores.rank() == 2 ? 0 : scores.rank() == 3 ? b : b * H + h;
    return scores.data<E>() + (matrix * T + t) * S;
  }
  // Row of the table of distances for query t, or null.
  template <class E>
  const E* relative_row(Index b, Index h, Index t) const {
    if (!mask.relative.defined()) return nullptr;
    const Index row = mask.relative.rank() == 2 ? h : (b * T + t) * H + h;
    return mask.relative.value().data<E>() + row * R;
  }
  // What query t sees lies in [start_of, end_of): its document, its window, and nothing after a causal one.
  Index start_of(Index b, Index t) const {
    const Index own = mask.starts.defined() ? mask.starts.data<std::int32_t>()[b * T + t] : 0;
    return mask.window > 0 ? std::max(own, t + S - T - mask.window + 1) : own;
  }
  Index end_of(Index t) const {
    const Index place = t + S - T, ahead = mask.causal ? 1 : mask.window;
    return ahead > 0 ? std::clamp(place + ahead, Index(0), S) : S;
  }
  // Some queries see no more than some of the keys before them.
  bool starts_late() const { return mask.starts.defined() || mask.window > 0; }
  const std::int32_t* key_row(Index b) const {
    return mask.key_keep.defined() ? mask.key_keep.data<std::int32_t>() + b * S : nullptr;
  }
};

// Queries t0 .. t1 - 1 and keys s0 .. s1 - 1 of head h of batch row b.
struct Block {
  Index b, h, t0, t1, s0, s1;
  Index queries() const { return t1 - t0; }
  Index keys() const { return s1 - s0; }
};

// The block that begins at t0 and s0, without its first and last keys that no query sees; it may be empty.
inline Block block_at(const AttentionShape& p, Index b, Index h, Index t0, Index s0) {
  const Index t1 = std::min(p.T, t0 + p.block.queries), end = p.end_of(t1 - 1);
  Block k{b, h, t0, t1, s0, std::max(s0, std::min(end, s0 + p.block.keys))};
  if (p.starts_late()) {
    Index first = k.s1;
    for (Index t = t0; t < t1; t++) first = std::min(first, p.start_of(b, t));
    s0 = k.s0 = std::max(s0, first);
  }
  if (const std::int32_t* keep = p.key_row(b))
    while (k.keys() > 0 && !keep[k.s1 - 1]) k.s1--;
  if (!p.mask.keep.defined()) return k;
  for (Index t = t0; t < t1; t++) {
    const std::int32_t* keep = p.score_row<std::int32_t>(p.mask.keep, b, h, t);
    if (std::any_of(keep + s0, keep + k.s1, [](std::int32_t bit) { return bit; })) return k;
  }
  k.s1 = s0;
  return k;
}

// Which of R columns, one per distance, n keys take: the first `lead` keys column 0, those from `end` on
// column R - 1, and those between them one after the other, from column `at` + lead on.
struct Distances {
  Index R, n, at, lead, end;
  // `first`: of the first key, seen from the query.
  Distances(Index R, Index first, Index n)
      : R(R), n(n), at(first + R / 2), lead(std::clamp(-at, Index(0), n)), end(std::clamp(R - at, lead, n)) {}
  // row[i] += table[column of i]
  template <class T>
  void add(const T* table, T* row) const {
    for (Index i = 0; i < lead; i++) row[i] += table[0];
    simd::add(end - lead, row + lead, table + at + lead);
    for (Index i = end; i < n; i++) row[i] += table[R - 1];
  }
  // Its gradient: dtable[column of i] += drow[i]
  template <class T>
  void add_gradient(const T* drow, T* dtable) const {
    dtable[0] += simd::sum(lead, drow);
    simd::add(end - lead, dtable + at + lead, drow + lead);
    dtable[R - 1] += simd::sum(n - end, drow + end);
  }
};

// Products of query t with the n keys from s0 on -> scores, in place. `tanh`, if given, gets that of the cap.
template <class T>
void score(const AttentionShape& p, Index b, Index h, Index t, Index s0, Index n, T* row, T* tanh = nullptr) {
  if (p.softcap > 0) {  // c tanh(s / c)
    const simd::Batch<T> c(T(p.softcap)), inverse(T(1 / p.softcap));
    if (!tanh) tanh = row;
    simd::apply(n, tanh, row, [&](auto s) { return simd::tanh(s * inverse); });
    simd::apply(n, row, tanh, [&](auto u) { return c * u; });
  }
  if (const T* bias = p.score_row<T>(p.mask.bias, b, h, t)) simd::add(n, row, bias + s0);
  if (const T* table = p.relative_row<T>(b, h, t)) Distances(p.R, s0 - (t + p.S - p.T), n).add(table, row);
  for (const std::int32_t* keep : {p.key_row(b), p.score_row<std::int32_t>(p.mask.keep, b, h, t)})
    if (keep)
      for (Index s = 0; s < n; s++) row[s] = keep[s0 + s] ? row[s] : -std::numeric_limits<T>::infinity();
}

}  // namespace qkv::attention_kernel
