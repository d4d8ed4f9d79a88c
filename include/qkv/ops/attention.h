// Fused scaled dot-product attention (Vaswani et al. 2017, "Attention is all you need", eq. 1), and rotary
// position embedding (Su et al. 2021, "RoFormer", eq. 34).
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
  /// [H, R] or [B, T, H, R], R odd, dtype of q: by distance, added to the scores: for query t and key s
  /// column s - (t + S - T) + (R - 1) / 2, clipped to the first and last. Gets a gradient. ALiBi (Press et
  /// al. 2022), T5 (Raffel et al. 2020), Shaw et al. (2018).
  Var relative;
  /// [B, T] (i32): where the document of each query begins, if a row holds several; no key before is seen.
  Tensor starts = {};
  /// w > 0: a query sees keys at a distance |s - (t + S - T)| below w (Beltagy et al. 2020, "Longformer").
  Index window = 0;
};

/// Heads and what is done with their scores.
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
/// the output is the same. f32 or f64. Throws `attention: q must be [B, T, H * D], ..; got ..` and
/// `attention: key_keep must be ..; got ..` and the like for each part of the mask.
Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& options,
              Tensor* weights = nullptr);

/// The same with q, k, v side by side in one tensor [B, T, (H + 2 H_kv) * D], read in place. Throws
/// `attention_packed: qkv must be [B, T, .. * D]; got ..`.
Var attention_packed(const Var& qkv, const AttentionOptions& options, Tensor* weights = nullptr);

/// Which elements are rotated.
struct RotaryOptions {
  RotaryOptions(Index n_head, Index d_head) : n_head(n_head), d_head(d_head) {}
  Index n_head, d_head;
  Index dim = 0;  ///< leading part of each head that is rotated, even; 0 = what the table is made for
  /// The pairs that are rotated: (0, 1), (2, 3), .. or, else, (0, dim / 2), (1, dim / 2 + 1), ..
  bool interleaved = false;
};

/// Cosines and sines of the angles, each [T, dim / 2] or [B, T, dim / 2], of the dtype of x.
struct RotaryTable {
  Tensor cos, sin;
};

/// Angles of positions begin .. begin + length - 1: position * base^(-2 i / dim) for pair i.
RotaryTable rotary_table(Index begin, Index length, Index dim, double base = 10000.0,
                         Dtype dtype = Dtype::f32);

/// Rotates pair i (x1, x2) of every head at position t by its angle: (c x1 - s x2, s x1 + c x2). x [B, T, W]
/// with W >= n_head * d_head: the first n_head heads are rotated, what follows them is copied, so that
/// queries and keys that lie side by side with values are rotated in one call. Throws `rotary: x must be [B,
/// T, at least ..]; got ..` and `rotary: table must be ..; got ..`.
Var rotary(const Var& x, const RotaryTable& table, const RotaryOptions& options);

}  // namespace qkv
