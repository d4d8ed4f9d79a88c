// Spikes: steps whose loss or gradient is far above what is usual in a run.
#pragma once
#include <cstdint>

namespace qkv {

/// Running statistics, part of a checkpoint, so that a resumed run finds the same spikes.
struct SpikeState {
  std::int64_t steps = 0;
  double first_loss = 0, loss_mean = 0, loss_variance = 0;
  double norm_mean = 0, norm_variance = 0;  ///< of the logarithm of the gradient norm
};

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

}  // namespace qkv
