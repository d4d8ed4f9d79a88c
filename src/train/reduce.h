// Reduction: the gradients of the shards become one, along a fixed tree, so that threads never change a bit.
#pragma once
#include <vector>

#include "qkv/train/optimizer.h"

namespace qkv {

/// The chunks of all parameters, in the order of ParameterStore::named.
std::vector<Chunk> chunks_of(const ParameterStore& store);

class Reduction {
 public:
  explicit Reduction(const ParameterStore& store)
      : store_(store), chunks_(chunks_of(store)), chunk_squares_(chunks_.size()) {}

  /// Adds the gradients of all shards into shard 0: ((0 + 1) + (2 + 3)) + ... The gradients that a shard
  /// lacks count as zero. Returns the sum of squares of the result without frozen parts, and in `squares`
  /// that of each named parameter. Uses the process's thread pool.
  double reduce(std::vector<Gradients>& shards, std::vector<double>& squares);
  const std::vector<Chunk>& chunks() const { return chunks_; }

 private:
  template <class T>
  double reduce_chunk(std::vector<Gradients>& shards, const Chunk& chunk) const;

  const ParameterStore& store_;
  std::vector<Chunk> chunks_;
  std::vector<double> chunk_squares_;  // memory that `reduce` works in
};

/// Throws a usage error naming each trainable parameter that got no gradient (in shard 0, after `reduce`).
void check_all_have_gradients(const Gradients& gradients, const ParameterStore& store);

}  // namespace qkv
