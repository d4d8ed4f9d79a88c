// Affine map.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// y = x W^T + b: x [.., in], weight [out, in], bias [out] or undefined -> [.., out].
/// Throws `linear: input width must be ..; got x .., weight ..`.
Var linear(const Var& x, const Var& weight, const Var& bias = {});

}  // namespace qkv
