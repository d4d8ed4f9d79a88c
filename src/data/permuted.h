// permuted: random orders that are computed position by position and take no memory.
#pragma once
#include "qkv/base/random.h"
#include "qkv/tensor/shape.h"

namespace qkv {

/// Element `position` of a random order of 0 ... n-1 that `keys` stands for (its position does not matter): a
/// Feistel network over the numbers below n (Black and Rogaway 2002). 0 <= position < n <= 2^62.
Index permuted(Index position, Index n, const Stream& keys);

}  // namespace qkv
