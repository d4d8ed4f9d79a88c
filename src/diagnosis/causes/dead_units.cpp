#include "diagnosis/cause.h"

namespace qkv {

static void dead_units(const RunCase& c, Suspicion& s) {
  constexpr double kShare = 0.4;  // ReLU layers that learn well have up to a tenth
  if (!(c.dead > kShare) || c.solved()) return;
  s.score = 0.5 + 0.4 * (c.dead - kShare) / (1 - kShare);
  s.because("{:.0f}% of the units of feed-forward layers are always silent", 100 * c.dead);
  s.advice = "a lower optimizer.lr, more schedule.warmup_steps, or model.ffn.activation = \"gelu\"";
}

QKV_REGISTER(Cause, "dead-units", CauseOf<dead_units>, "many units of the feed-forward layers are dead");

}  // namespace qkv
