// Reduction: the gradients of the shards become one, along a fixed tree, so that threads never change a bit.
#pragma once
#include <vector>

#include "qkv/nn/parameter.h"

namespace qkv {

/// Ranges of parameters that one task handles; fixed by the parameters alone.
struct Chunk {
  int slot;
  Index begin, size;  ///< elements
  bool frozen;
};
std::vector<Chunk> chunks_of(const ParameterStore& store);

/// Adds the gradients of all shards into shard 0: ((0 + 1) + (2 + 3)) + ... The gradients that a shard lacks
/// count as zero. Returns the sum of squares of the result without frozen parts. Uses the process's thread
/// pool.
double reduce(std::vector<Gradients>& shards, const ParameterStore& store, const std::vector<Chunk>& chunks,
              std::vector<double>& scratch);

/// Throws a data error naming each trainable parameter that got no gradient (in shard 0, after `reduce`).
void check_all_have_gradients(const Gradients& gradients, const ParameterStore& store);

}  // namespace qkv
