// One vector per sequence: the mean over its tokens, or the vector at one position.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// y_b = sum_t keep_bt x_bt / sum_t keep_bt: x [B, T, d] (f32, f64), keep [B, T] (i32, 1 = counts, 0 =
/// padding)
/// -> [B, d]. A sequence without kept tokens gives zeros. Throws `masked_mean: keep must be ..; got ..`.
Var masked_mean(const Var& x, const Tensor& keep);

/// y_b = x[b, positions_b, :]: x [B, T, d], positions [B] (i32) -> [B, d].
/// Throws `select_positions: position must be in [0, T); got .. in row ..`.
Var select_positions(const Var& x, const Tensor& positions);

}  // namespace qkv
