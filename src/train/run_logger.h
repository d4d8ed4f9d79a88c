// RunLogger: what a run records of itself while it trains; log/record_keys.h lists the keys.
#pragma once
#include "log/tensorboard.h"
#include "train/circuits.h"
#include "train/diagnosis.h"

namespace qkv {

/// What a step was compared with.
struct Spike {
  bool loss = false, gradient = false;
  double usual_loss = 0, usual_grad_norm = 0;
  explicit operator bool() const { return loss || gradient; }
};

/// Compares a finite step with the exponential means (rate 0.02) of those before, then adds it to them; what
/// lies beyond the threshold counts as the threshold, so that one spike does not hide the next. The threshold
/// is `deviations` standard deviations above the mean, where a deviation is at least 5% of the first loss,
/// respectively a factor 1.4 of the gradient norm. The first 50 steps are never spikes.
Spike look_for_spike(SpikeState& state, double loss, double grad_norm, double deviations);

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
  /// What the heads do for the answers.
  void circuits(const CircuitScores& scores);
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

/// The values by which the HParams plug-in compares runs: numbers, words and switches of the config, without
/// its paths and lists. `resumed_from`: the step of the checkpoint, or -1 for a new run.
TensorboardSink::Run tensorboard_run(const Experiment& experiment, const std::string& run,
                                     std::int64_t resumed_from);

/// Writes projector_config.pbtxt and projector/{vectors,words}.tsv into a run directory: the rows of
/// `embed.weight` [V, d] (f32 or f64) and the words that they stand for, the first 10,000 of them. Nothing
/// where the model has no such table or its rows no words.
void write_projector(const std::string& run, const Experiment& experiment);

}  // namespace qkv
