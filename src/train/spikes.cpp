#include "train/spikes.h"

#include <algorithm>
#include <cmath>

namespace qkv {

constexpr std::int64_t kWarmup = 50;
constexpr double kRate = 0.02;

// True if `value` is beyond the threshold; moves the running mean and variance on (West 1979, with weights
// that decay).
static bool beyond(double& mean, double& variance, std::int64_t steps, double value, double deviations,
                   double least_deviation) {
  const double threshold = mean + deviations * std::max(std::sqrt(variance), least_deviation);
  const bool spike = steps >= kWarmup && value > threshold;
  const double rate = std::max(kRate, 1.0 / static_cast<double>(steps + 1));
  const double difference = (spike ? threshold : value) - mean;
  mean += rate * difference;
  variance = (1 - rate) * (variance + rate * difference * difference);
  return spike;
}

Spike look_for_spike(SpikeState& s, double loss, double grad_norm, double deviations) {
  if (s.steps == 0) s.first_loss = std::abs(loss);
  Spike spike{false, false, s.loss_mean, std::exp(s.norm_mean)};
  spike.loss = beyond(s.loss_mean, s.loss_variance, s.steps, loss, deviations, 0.05 * s.first_loss);
  spike.gradient = beyond(s.norm_mean, s.norm_variance, s.steps, std::log(std::max(grad_norm, 1e-30)),
                          deviations, std::log(1.4));
  s.steps++;
  return spike;
}

}  // namespace qkv
