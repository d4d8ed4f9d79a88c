// Spikes: steps whose loss or gradient is far above what is usual in a run.
#pragma once
#include "qkv/train/training.h"

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

}  // namespace qkv
