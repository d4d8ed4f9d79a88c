#include "diagnosis/cause.h"

namespace qkv {

static void no_warmup(const RunCase& c, Suspicion& s) {
  // In its first fifth the training loss was higher than before the first step.
  constexpr double kRise = 1.1;
  const double warmup = double(c.table("schedule").given<std::int64_t>("warmup_steps").value_or(0));
  if (warmup > 0.005 * double(c.steps) && warmup >= 5) return;
  const bool overshoots = c.best_factor < 0.4;
  const bool rose = c.highest_early > kRise * c.first_loss;
  if (c.solved() || c.steps < 20 || (!overshoots && !rose)) return;
  s.score = rose && overshoots ? 0.8 : rose ? 0.6 : 0.4;
  s.because("schedule.warmup_steps is {:.0f} of {} steps", warmup, c.steps);
  if (rose) s.because("early the training loss rose from {:.3g} to {:.3g}", c.first_loss, c.highest_early);
  if (overshoots) s.because("{:.1g} of the first update would be best for its own examples", c.best_factor);
  s.advice = fmt::format("schedule.warmup_steps = {}", std::max<std::int64_t>(10, c.steps / 20));
}

QKV_REGISTER(Cause, "no-warmup", CauseOf<no_warmup>, "the rate has no warm-up");

}  // namespace qkv
