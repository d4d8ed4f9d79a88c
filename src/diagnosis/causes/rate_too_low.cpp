#include "diagnosis/cause.h"

namespace qkv {

static Suspicion rate_too_low(const RunCase& c) {
  // Thirty updates in one step would still lower the loss: the steps are far smaller than the curvature
  // allows.
  constexpr double kBestFactor = 25;
  // All updates of the run in one direction do not change the weights by more than this share of their size.
  constexpr double kReach = 0.5;
  Suspicion s;
  const bool timid = c.best_factor > kBestFactor, near = c.reach < kReach;
  if (c.solved() || c.steps < 20 || !(timid || near)) return s;
  s.score = timid && near ? 0.85 : near ? 0.7 : 0.4;
  if (timid)
    s.because("{:.0f} times the first update would lower the loss of its examples most", c.best_factor);
  s.because(
      "an update changes the weights by {:.2g}% of their size, all {} steps together by at most {:.2g}%",
      100 * c.update_ratio, c.steps, 100 * c.reach);
  s.because("the training loss fell from {:.3g} to {:.3g}", c.first_loss, c.last_loss);
  const double rate = c.number("optimizer", "lr", 1e-3);
  s.advice = fmt::format(
      "optimizer.lr = {:.2g} instead of {:.2g}, or more steps; `qkv lr-range` measures a good rate",
      rate * (timid ? c.best_factor : 10), rate);
  return s;
}

QKV_REGISTER(Cause, "rate-too-low", CauseOf<rate_too_low>, "the learning rate is too low");

}  // namespace qkv
