// TrainBatches: the training batches of a run, and the shards into which each is cut.
#pragma once
#include "data/sampler.h"
#include "qkv/task/task.h"
#include "qkv/train/config.h"

namespace qkv {

/// What is in a batch follows from (seed, number of the batch, shard) alone.
class TrainBatches {
 public:
  TrainBatches(const Task& task, Sampler sampler, std::uint64_t seed, int shards)
      : task_(task), sampler_(std::move(sampler)), seed_(seed), shards_(shards) {}

  /// The examples of a batch, in memory that the next call reuses.
  const std::vector<int>& examples(std::int64_t batch);

  struct Part {
    const int* begin;
    Index size;
  };
  /// Makes the batch of one shard of these examples; without any, `out` stays as it is.
  Part collate(const std::vector<int>& examples, std::int64_t batch, int shard, Batch& out) const;
  /// The draws of dropout in a shard.
  Stream dropout(std::int64_t batch, int shard) const { return Stream(seed_, "dropout", batch, shard); }

  int shards() const { return shards_; }
  std::int64_t per_epoch() const { return sampler_.steps_per_epoch(); }

 private:
  const Task& task_;
  Sampler sampler_;
  std::uint64_t seed_;
  int shards_;
  std::vector<int> examples_;
};

/// Reads the data of all splits, so that a fault in it is reported before a run directory is made, and
/// measures the training examples; with `few` only the first ones, if that is enough.
std::unique_ptr<TrainBatches> make_batches(Task& task, const BatchConfig& config, const RunConfig& run,
                                           bool few);

}  // namespace qkv
