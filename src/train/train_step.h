// TrainBatches: the training batches of a run, and the shards into which each is cut. TrainStep: makes one
// optimizer step of them and reports all that it found.
#pragma once
#include <memory>
#include <unordered_set>

#include "data/sampler.h"
#include "qkv/train/training.h"

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
  /// Leaves out the lessons of these examples and of no others: from now on, their targets in batches are
  /// muted (ops/loss.h).
  void leave_out(const std::vector<std::int64_t>& numbers);
  /// From the losses of all targets of a batch of `size` examples to those of the examples.
  static std::vector<double> by_example(const Batch& batch, Index size, const std::vector<double>& losses);
  /// The draws of dropout in a shard.
  Stream dropout(std::int64_t batch, int shard) const { return Stream(seed_, "dropout", batch, shard); }

  int shards() const { return shards_; }
  std::int64_t per_epoch() const { return sampler_.steps_per_epoch(); }

 private:
  void mute(const Part& part, Batch& batch) const;

  const Task& task_;
  Sampler sampler_;
  std::uint64_t seed_;
  int shards_;
  std::vector<int> examples_;
  std::unordered_set<std::int64_t> without_;
};

/// Reads the data of all splits, so that a fault in it is reported before a run directory is made, and
/// measures the training examples; with `few` only the first ones, if that is enough.
std::unique_ptr<TrainBatches> make_batches(Task& task, const BatchConfig& config, const RunConfig& run,
                                           bool few);

/// What one shard of a step has computed. Reused, so that a step does not allocate.
struct Shard {
  struct Found {
    double loss = 0, count = 0, divergence = 0;
    std::int64_t tokens = 0;
    int signal = 0;  // that its rank has received
  };
  Batch batch;
  Found found;
  double data_s = 0, forward_s = 0, backward_s = 0;
};

class TrainStep {
 public:
  TrainStep(const Task& task, TrainBatches& batches, std::int64_t accumulated);
  virtual ~TrainStep() = default;

  /// Makes optimizer step `number` (1, 2, ...) at rate `lr`. Where loss or gradient is not finite, nothing is
  /// changed. The report is good until the next call.
  const StepReport& make(std::int64_t number, double lr);
  /// Bytes of gradients and activations, where the forward pass of a whole batch keeps `activations`.
  virtual double bytes(double activations, double threads) const = 0;
  /// The signal that this process, or of several ranks any of them before the last step, has received, or 0.
  int signal() const;

 protected:
  virtual void begin() {}
  /// Computes one shard of a batch and adds to its loss, count and seconds. Several threads call it at once.
  virtual void learn(std::int64_t batch, int s, Shard& shard, double lr) = 0;
  /// After the last shard: begins to tell the other ranks what the shards have learned.
  virtual void send() {}
  /// Adds up what the shards of all ranks have learned, and returns the sum of squares of the gradient.
  virtual double add_up(StepReport& report) = 0;
  /// Changes the parameters.
  virtual void update(const StepReport&) {}

  /// The number of shards that this rank computes.
  int own_shards() const { return end_ - first_; }

  TrainBatches& batches_;
  std::int64_t accumulated_;  // batches of a step

 private:
  void run_shards(std::int64_t batch);
  void share_findings();

  const Task& task_;
  std::vector<Shard> shards_;
  int first_ = 0, end_ = 0;  // the shards of this rank
  StepReport report_;
};

/// The sum of the squares of a tensor's elements.
double squares_of(const Tensor& values);

/// Whether the steps of a run are the model's, on rows that learn in place, without gradients of all
/// parameters.
bool learns_in_place(const Optimizer& optimizer);

/// Reports what contradicts itself in a config whose optimizer has the rows of the model learn in place.
void check_in_place(const Experiment& e, const TrainConfig& config, const Optimizer& optimizer);

/// Reports what in a config does not allow for several ranks.
void check_ranks(const Experiment& e, const TrainBatches& batches, const Optimizer& optimizer);

/// The step that the optimizer asks for: along the gradient of a batch, or in place, example by example. The
/// other parts of the training must be there.
std::unique_ptr<TrainStep> make_step(const Training& t);

}  // namespace qkv
