#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static void rate_too_high(const RunCase& c, Suspicion& s) {
  // The first update, shortened, is tried on its own examples. With a rate that fits, the whole update is
  // near the best one; warm-up allows for some overshooting. One that is best at a thirtieth has left the
  // region in which the gradient says anything.
  constexpr double kBestFactor = 0.04;
  // Weights that change by their own size in a step forget what they were; usual are 0.1 to 10%.
  constexpr double kUpdateRatio = 0.15, kForgets = 1;
  const bool overshoots = c.best_factor < kBestFactor && c.overshoot > 1;
  const bool large = c.update_ratio > kUpdateRatio;
  const bool lost = c.last_loss > 0.95 * c.start() || c.last_loss > c.first_loss;
  if (c.nonfinite && c.nonfinite->step() > 1 &&
      (overshoots || large || c.spikes > 0 || std::isnan(c.overshoot)))
    s.score = 0.9;
  else if ((overshoots || large) && !c.solved())
    s.score = lost || c.update_ratio > kForgets ? 0.85 : overshoots && large ? 0.75 : 0.55;
  else if (std::isnan(c.overshoot) && c.last_loss > 1.1 * c.first_loss)
    s.score = 0.5;
  if (s.score == 0) return;
  if (lost) s.because("the training loss began at {:.3g} and ends at {:.3g}", c.first_loss, c.last_loss);
  if (overshoots)
    s.because(
        "a first update at the full rate multiplies the loss of its own examples by {:.3g}; {:.1g} of it "
        "would be best",
        c.overshoot, c.best_factor);
  if (large) s.because("one update changes the weights by {:.0f}% of their size", 100 * c.update_ratio);
  if (c.spikes > 0) s.because("loss or gradient jumped {} times", c.spikes);
  if (s.evidence.empty()) s.because("step {} was not finite", c.nonfinite->step());
  s.advice = fmt::format("optimizer.lr = {:.2g}; see `qkv lr-range`",
                         c.rate() * (c.best_factor > 0 ? c.best_factor : 0.01));
}

QKV_REGISTER(Cause, "rate-too-high", CauseOf<rate_too_high>, "the learning rate is too high");

}  // namespace qkv
