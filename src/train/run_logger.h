// RunLogger: what a run records of itself while it trains; log/record_keys.h lists the keys.
#pragma once
#include "qkv/train/training.h"
#include "train/diagnosis.h"

namespace qkv {

class RunLogger {
 public:
  RunLogger(Training& training, MetricSinks& sinks);

  /// After each step: a spike, if it is one, and where they are due a training line and histograms.
  void step(const StepReport& report);
  /// What was not finite in a step, and where.
  void nonfinite(const Diagnosis& d, const StepReport& report);
  /// Metrics of the validation split, and those of training examples where there are any.
  void evaluation(const Metrics& metrics, const Metrics& of_training, bool best);
  /// The norm of each parameter, and of its gradient in the last step.
  void norms(const StepReport& report);
  /// What the model says of the sentences of [inspect], for TensorBoard.
  void samples();

 private:
  void spike(const StepReport& report);
  void line(const StepReport& report);
  void histograms(const StepReport& report);

  Training& t_;
  MetricSinks& sinks_;
  struct {
    std::int64_t step, tokens;
    double seconds;
  } line_;  // the state at the last training line, or where this process began
};

}  // namespace qkv
