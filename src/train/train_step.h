// TrainStep: makes one optimizer step and reports all that it found.
#pragma once
#include <memory>

#include "qkv/train/training.h"
#include "train/batches.h"

namespace qkv {

/// What one shard of a step has computed. Reused, so that a step does not allocate.
struct Shard {
  Batch batch;
  double loss = 0, count = 0;
  std::int64_t tokens = 0;
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

 protected:
  virtual void begin() {}
  /// Computes one shard of a batch and adds to its loss, count and seconds. Called by several threads at
  /// once.
  virtual void learn(std::int64_t batch, int s, Shard& shard, double lr) = 0;
  /// Adds up what the shards have learned, and returns the sum of squares of the gradient.
  virtual double add_up(StepReport& report) = 0;
  /// Changes the parameters.
  virtual void update(const StepReport&) {}

  TrainBatches& batches_;

 private:
  void run_shards(std::int64_t batch);

  const Task& task_;
  std::int64_t accumulated_;  // batches of a step
  std::vector<Shard> shards_;
  StepReport report_;
};

/// Reports what contradicts itself in a config whose optimizer has the rows of the model learn in place.
void check_in_place(const Experiment& e, const TrainConfig& config, const Optimizer& optimizer);

/// The step that the optimizer asks for: along the gradient of a batch, or in place, example by example.
std::unique_ptr<TrainStep> make_step(Experiment& e, const TrainConfig& config, TrainBatches& batches,
                                     Optimizer& optimizer);

}  // namespace qkv
