// Row lookup in a table.
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

}  // namespace qkv
