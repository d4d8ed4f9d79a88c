// Copying from a source beside writing from a vocabulary.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// What the logarithm of a token's probability is where that is 0: finite.
constexpr double kNeverLog = -1e30;

/// log p [B, T, W] of the next token, written or copied (See et al. 2017, "Get to the point", eq. 9), s being
/// the logistic function:
///   p(v) = s(g) softmax(logits)_v + (1 - s(g)) sum_{i: ids_i = v} softmax(scores)_i.
/// logits [B, T, V], gate g [B, T, 1] and scores [B, T, S] (f32, f64) of the S source tokens; ids [B, S]
/// (i32) in [0, W), W >= V, is what copying each of them gives; keep [B, S] (i32): 0 = padding; undefined =
/// none. Tokens V .. W - 1 can be copied only. All sums are of logarithms: nothing underflows. Throws
/// `pointer_generator: logits must be [B, T, V], ..; got ..` and `pointer_generator: id must be in [0, W);
/// got ..`.
Var pointer_generator(const Var& logits, const Var& gate, const Var& scores, const Tensor& ids,
                      const Tensor& keep, Index W);

}  // namespace qkv
