// Batched matrix product.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// y = a b with NumPy's rules: [.., m, k] x [.., k, n] -> [.., m, n], leading axes broadcast; a 1-D operand
/// gets an axis that is removed again. Throws `matmul: inner sizes must agree; got a [..] x b [..]`.
Var matmul(const Var& a, const Var& b);

}  // namespace qkv
