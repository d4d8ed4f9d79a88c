// Batched matrix product, affine map.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// y = a b with NumPy's rules: [.., m, k] x [.., k, n] -> [.., m, n], leading axes broadcast; a 1-D operand
/// gets an axis that is removed again. Throws `matmul: inner sizes must agree; got a [..] x b [..]`.
Var matmul(const Var& a, const Var& b);

/// y = x W^T + b: x [.., in], weight [out, in], bias [out] or undefined -> [.., out].
/// Throws `linear: input width must be ..; got x .., weight ..`.
Var linear(const Var& x, const Var& weight, const Var& bias = {});

}  // namespace qkv
