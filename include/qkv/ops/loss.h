// Losses of equal shapes: squared error and binary cross entropy.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// mean((x - y)^2) over all elements: scalar. x and y of equal shape and dtype (f32, f64); both get
/// gradients. Throws `mse_loss: shapes must agree; got ..`.
Var mse_loss(const Var& x, const Var& y);

/// Binary cross entropy -y log s(x) - (1 - y) log(1 - s(x)), s the logistic function, elementwise, of logits
/// x against targets y in [0, 1] of equal shape and dtype. Computed as max(x, 0) - x y + log(1 + exp(-|x|)),
/// which does not overflow.
Var bce_with_logits(const Var& logits, const Tensor& targets);

}  // namespace qkv
