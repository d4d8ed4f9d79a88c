// TrainStep: makes one optimizer step and reports all that it found.
#pragma once
#include <memory>

#include "qkv/train/training.h"

namespace qkv {

class TrainStep {
 public:
  virtual ~TrainStep() = default;
  /// Makes optimizer step `number` (1, 2, ...) at rate `lr`. Where loss or gradient is not finite, nothing is
  /// changed. The report is good until the next call.
  virtual const StepReport& make(std::int64_t number, double lr) = 0;
  /// Bytes of gradients and activations, where the forward pass of a whole batch keeps `activations`.
  virtual double bytes(double activations, double threads) const = 0;
};

/// Reports what contradicts itself in a config whose optimizer has the rows of the model learn in place.
void check_in_place(const Experiment& e, const TrainConfig& config, const Optimizer& optimizer);

/// The step that the optimizer asks for: along the gradient of a batch, or in place, example by example.
std::unique_ptr<TrainStep> make_step(Experiment& e, const TrainConfig& config, TrainBatches& batches,
                                     Optimizer& optimizer);

}  // namespace qkv
