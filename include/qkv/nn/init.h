// Initial values of parameters.
#pragma once
#include <functional>

#include "qkv/base/random.h"
#include "qkv/tensor/tensor.h"

namespace qkv {

/// Fills a new parameter from a stream of its own.
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
/// U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
Init xavier(Index fan_in, Index fan_out);

}  // namespace init
}  // namespace qkv
