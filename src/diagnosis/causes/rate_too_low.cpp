#include "diagnosis/cause.h"

namespace qkv {

static void rate_too_low(const RunCase& c, Suspicion& s) {
  // Hundreds of updates in one step would still lower the loss: the curvature allows for far longer steps.
  constexpr double kBestFactor = 90;
  // All updates of the run, in one direction, change the weights by no more than this share of their size.
  constexpr double kReach = 0.3, kShort = 1;
  const bool timid = c.best_factor > kBestFactor;
  const bool tuned = !c.e.tables.train.init_from.empty() && c.last_loss < 0.8 * c.first_loss;
  if (c.solved() || tuned || c.steps < 20) return;
  s.score = timid && c.reach < kShort ? 0.85 : c.reach < kReach || c.best_factor > 300 ? 0.6 : 0;
  if (s.score == 0) return;
  if (timid) s.because("{:.0f} times the first update would be best for its examples", c.best_factor);
  s.because(
      "an update changes the weights by {:.2g}% of their size, all {} steps together by at most {:.2g}%",
      100 * c.update_ratio, c.steps, 100 * c.reach);
  s.because("the training loss fell from {:.3g} to {:.3g}", c.first_loss, c.last_loss);
  s.advice = fmt::format("optimizer.lr = {:.2g}, or more steps; see `qkv lr-range`",
                         c.rate() * (timid ? c.best_factor : 10));
}

QKV_REGISTER(Cause, "rate-too-low", CauseOf<rate_too_low>, "the learning rate is too low");

}  // namespace qkv
