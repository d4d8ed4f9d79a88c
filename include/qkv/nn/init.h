// Initial values of parameters.
#pragma once
#include <functional>

#include "qkv/base/random.h"
#include "qkv/tensor/tensor.h"

namespace qkv {

/// Fills a new parameter, or a part of a packed one, from a stream of its own.
using Init = std::function<void(Tensor& value, const Stream& stream)>;

namespace init {

Init constant(double value);
inline Init zeros() {
  return constant(0.0);
}
inline Init ones() {
  return constant(1.0);
}
Init normal(double deviation);
Init uniform(double low, double high);
/// U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the default of PyTorch's Linear (He et al. 2015 with a = sqrt 5).
Init kaiming(Index fan_in);
/// U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) for a matrix [fan_out, fan_in], or the part of a packed one
/// (Glorot and Bengio 2010).
Init xavier();
/// N(0, 1 / width) for a table of vectors [rows, width], whose lengths are then about 1 whatever the width.
Init vectors();

}  // namespace init
}  // namespace qkv
