// RelativeBias: what is added to the scores of attention by the distance between query and key.
#pragma once
#include "qkv/nn/layer.h"

namespace qkv {

/// Relative positions that a layer learns: T5's buckets, or Shaw's clipped distances.
struct RelativeConfig {
  Index buckets = 0;       ///< T5 > 0
  Index max_distance = 0;  ///< of T5, or with buckets = 0 of Shaw > 0
};

/// A number per head and bucket of distances (Raffel et al. 2020, "T5"). Half of the buckets are exact
/// distances, the others grow with the logarithm of the distance up to max_distance, and the last holds all
/// beyond it. Where tokens see later ones, half of them are for those.
struct RelativeBias {
  RelativeBias() = default;
  RelativeBias(const Scope& s, const RelativeConfig& config, Index n_head, Index width);
  /// For AttentionMask::relative: [H, 2 max_distance + 1]. Gets a gradient.
  Var table(bool causal) const;
  bool defined() const { return weight.defined(); }

  Parameter weight;  ///< [buckets, H]
  Tensor rows[2];    ///< bucket of each distance -max_distance .. max_distance: both directions, causal
};

/// Bucket of the distance s - t of key s from query t.
Index t5_bucket(Index distance, const RelativeConfig& config, bool causal);

/// For AttentionMask::relative: ALiBi (Press et al. 2022), -slope_h |s - t|, for distances below `length`:
/// [H, 2 length - 1].
Tensor alibi_bias(Index n_head, Index length, Dtype dtype);
/// Slopes of ALiBi: 2^(-8 i / H) for head i = 1 .. H, and for other numbers of heads than powers of two those
/// of the next lower power with every second one of the next higher between them.
Tensor alibi_slopes(Index n_head, Dtype dtype);

}  // namespace qkv
