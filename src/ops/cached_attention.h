// Attention of new tokens over a cache of keys and values, for decoding; its definition from separate ops.
#pragma once
#include <functional>

#include "qkv/ops/attention.h"

namespace qkv {

/// What `attention` gives for the last T of S = past + T positions under a causal mask: q is T rows of `ld`
/// elements per row of the batch, H * D of them; keys and values [B, H_kv, capacity, D] hold S positions.
/// Gives y [B, T, H * D]. No gradient: decoding needs none. Of `options`, scale, softcap, mask.relative,
/// mask.window and the numbers of heads count. `weights`, when given, receives [B, H, T, S].
template <class T>
Tensor cached_attention(const T* q, Index ld, Index B, Index n, const Tensor& keys, const Tensor& values,
                        Index past, AttentionOptions options, Tensor* weights = nullptr);

/// Scores [B, H, T, S] with what the mask adds to them: bias, relative, -inf where a key may not be seen.
Var masked_scores(Var scores, const AttentionMask& mask);

/// `attention` from separate ops, for checks and for who changes the weights: `change`, where given, makes of
/// the weights [B, H, T, S] those that multiply the values. Dropout is not applied.
Var attention_composed(const Var& q, const Var& k, const Var& v, const AttentionOptions& options,
                       const std::function<Var(const Var&)>& change = {});

}  // namespace qkv
