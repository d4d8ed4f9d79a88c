// RowLearner: a model of tables whose rows learn in place, one example after the other.
#pragma once
#include "qkv/data/batch.h"

namespace qkv {

/// How the shards of a step share the tables.
enum class RowSharing {
  separate,  ///< each learns on copies of the rows it meets; their changes are added up in the shards' order
  hogwild  ///< all write to the tables at once, without locks (Niu et al., 2011): fast, never twice the same
};

/// What models say that the optimizer "sparse-sgd" can train. A step is `learn` for each shard, by several
/// threads at once, then `join`. With `separate` the result depends on the number of shards, never on that of
/// threads; one shard is plain stochastic gradient descent.
struct RowLearner {
  struct Learned {
    double loss = 0, count = 0;
  };
  virtual ~RowLearner() = default;
  virtual void share(int shards, RowSharing sharing) = 0;
  /// A step of rate `lr` for each example of the batch; the losses before their steps.
  virtual Learned learn(const Batch& batch, int shard, double lr) = 0;
  /// Adds what the shards have changed to the tables, or forgets it without `keep`; the sum of squares of
  /// what was added, with hogwild 0.
  virtual double join(bool keep) = 0;
};

}  // namespace qkv
