// Fused scaled dot-product attention (Vaswani et al. 2017, "Attention is all you need", eq. 1).
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// Which keys a query may attend to. Masks say what to *keep*: 1 = may attend, 0 = may not (i32).
/// A query that may attend to nothing gets a zero vector and zero gradient.
struct AttentionMask {
  bool causal = false;  ///< query t of T sees keys 0 .. t + (S - T)
  Tensor key_keep;      ///< [B, S]: padding; undefined = all
  Tensor keep;          ///< [T, S], [B, T, S] or [B, H, T, S]: explicit; undefined = all
  /// Of the shapes of `keep`, dtype of q: added to the scores; no gradient; undefined = 0.
  Tensor bias;
  /// [H], dtype of q: ALiBi, adds -slope_h |t + (S - T) - s| to the scores (Press et al. 2022).
  Tensor slopes;
};

struct AttentionOptions {
  AttentionOptions(Index n_head, Index d_head);
  Index n_head;
  Index n_kv_head;  ///< fewer key/value heads than queries: grouped-query attention (Ainslie et al. 2023)
  double scale;     ///< factor of the scores; 1 / sqrt(d_head) unless set
  /// c > 0: scores become c tanh(score / c) before the mask (Gemma team 2024, "Gemma 2").
  double softcap = 0.0;
  double dropout = 0.0;  ///< of the weights, while a random tape records
  AttentionMask mask;
};

/// softmax(scale * Q K^T + bias) V per head. q [B, T, H * D], k [B, S, H_kv * D], v [B, S, H_kv * D_v]
/// -> [B, T, H * D_v]. `weights`, when given, receives the attention weights [B, H, T, S] (before dropout);
/// the output is the same.
Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options,
              Tensor* weights = nullptr);

/// The same with q, k, v side by side in one tensor [B, T, (H + 2 H_kv) * D], read in place.
Var attention_packed(const Var& qkv, const AttentionOptions& options, Tensor* weights = nullptr);

}  // namespace qkv
