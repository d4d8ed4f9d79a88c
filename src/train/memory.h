// How much memory a run will take.
#pragma once
#include "qkv/train/training.h"

namespace qkv {

/// Estimated bytes of parameters, gradients, moments of the optimizer, and activations of training and
/// evaluation.
std::size_t memory_estimate(const Training& t);

}  // namespace qkv
