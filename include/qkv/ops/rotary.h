// Rotary position embedding (Su et al. 2021, "RoFormer", eq. 34).
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

struct RotaryOptions {
  RotaryOptions(Index n_head, Index d_head) : n_head(n_head), d_head(d_head), dim(d_head) {}
  Index n_head, d_head;
  Index dim;  ///< leading part of each head that is rotated, even; d_head unless set
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
