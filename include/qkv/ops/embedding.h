// Rows of a table or of a sequence: lookup, bags, the mean over tokens, the vector at one position.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// y[.., :] = table[ids[..], :]: ids [..] (i32), table [V, d] (f32, f64) -> [.., d]. The gradient of a row is
/// the sum over its uses, added in order of position.
/// Throws `embedding: id must be in [0, V); got .. at position .. (table [V, d])`.
Var embedding(const Tensor& ids, const Var& table);

/// Mean of the rows of each bag; an empty bag gives zeros. Bag w holds ids[offsets[w]] .. ids[offsets[w + 1]
/// - 1] (e.g. the character n-grams of a word, Bojanowski et al. 2017): ids [N] and offsets [W + 1], not
/// decreasing from 0 to N (i32), table [V, d] -> [W, d].
Var embedding_bag(const Tensor& ids, const Tensor& offsets, const Var& table);

/// y_b = sum_t keep_bt x_bt / sum_t keep_bt: x [B, T, d] (f32, f64), keep [B, T] (i32, 1 = counts, 0 =
/// padding)
/// -> [B, d]. A sequence without kept tokens gives zeros. Throws `masked_mean: keep must be ..; got ..`.
Var masked_mean(const Var& x, const Tensor& keep);

/// y_b = x[b, positions_b, :]: x [B, T, d], positions [B] (i32) -> [B, d].
/// Throws `select_positions: position must be in [0, T); got .. in row ..`.
Var select_positions(const Var& x, const Tensor& positions);

}  // namespace qkv
