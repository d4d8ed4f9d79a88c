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
  Index B, T, S, D, D_v, H, H_kv;
  BlockSizes block = UseBlocks::current() ? UseBlocks::current()->sizes : BlockSizes();
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

// Queries t0 .. t1 - 1 and keys s0 .. s1 - 1 of head h of batch row b.
struct Block {
  Index b, h, t0, t1, s0, s1;
  Index queries() const { return t1 - t0; }
  Index keys() const { return s1 - s0; }
};

// The block that begins at t0 and s0, without its last keys if no query can see them; it may be empty.
inline Block block_at(const AttentionShape& p, Index b, Index h, Index t0, Index s0) {
  const Index t1 = std::min(p.T, t0 + p.block.queries), end = p.mask.causal ? t1 + p.S - p.T : p.S;
  Block k{b, h, t0, t1, s0, std::max(s0, std::min(end, s0 + p.block.keys))};
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

// |position of the query - position of the key|, for `simd::apply` over keys.
template <class T>
struct Distance {
  T own;  // position of the query, counted from the first of these keys
  T operator[](Index s) const { return std::abs(own - T(s)); }
  simd::Batch<T> at(Index s) const {
    alignas(64) T lanes[simd::kWidth<T>];
    for (Index i = 0; i < simd::kWidth<T>; i++) lanes[i] = T(i);
    return xsimd::abs(simd::Batch<T>(own - T(s)) - simd::Batch<T>(xsimd::load_aligned(lanes)));
  }
};

// Products of query t with the n keys from s0 on -> scores, in place. `tanh`, when given, receives that of
// the soft cap.
template <class T>
void score(const AttentionShape& p, Index b, Index h, Index t, Index s0, Index n, T* row, T* tanh = nullptr) {
  if (p.softcap > 0) {  // c tanh(s / c)
    const simd::Batch<T> c(T(p.softcap)), inverse(T(1 / p.softcap));
    if (!tanh) tanh = row;
    simd::apply(n, tanh, row, [&](auto s) { return simd::tanh(s * inverse); });
    simd::apply(n, row, tanh, [&](auto u) { return c * u; });
  }
  if (const T* bias = p.score_row<T>(p.mask.bias, b, h, t)) simd::add(n, row, bias + s0);
  if (p.mask.slopes.defined()) {
    const simd::Batch<T> slope(p.mask.slopes.data<T>()[h]);
    const Distance<T> distance{T(t + p.S - p.T - s0)};
    simd::apply(n, row, row, distance, [&](auto s, auto d) { return s - slope * d; });
  }
  for (const std::int32_t* keep : {p.key_row(b), p.score_row<std::int32_t>(p.mask.keep, b, h, t)})
    if (keep)
      for (Index s = 0; s < n; s++) row[s] = keep[s0 + s] ? row[s] : -std::numeric_limits<T>::infinity();
}

}  // namespace qkv::attention_kernel
