// Attention of new tokens over a cache of keys and values, for decoding.
#pragma once
#include "qkv/ops/attention.h"

namespace qkv {

/// What `attention` gives for the last T of S = past + T positions under a causal mask: q is T rows of `ld`
/// elements per row of the batch, H * D of them; keys and values [B, H_kv, capacity, D] hold S positions.
/// Gives y [B, T, H * D]. No gradient: decoding needs none. Of `options`, scale, softcap, mask.slopes and the
/// numbers of heads count. `weights`, when given, receives [B, H, T, S].
template <class T>
Tensor cached_attention(const T* q, Index ld, Index B, Index n, const Tensor& keys, const Tensor& values,
                        Index past, AttentionOptions options, Tensor* weights = nullptr);

}  // namespace qkv
