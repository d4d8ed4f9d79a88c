#include "diagnosis/cause.h"

namespace qkv {

static void always_clipped(const RunCase& c, Suspicion& s) {
  constexpr double kRatio = 10.0;  // a gradient that is so many times the limit is not clipped by accident
  if (!(c.clip_ratio > kRatio)) return;
  s.score = c.clip_ratio > 100 ? 0.8 : 0.45;
  const double limit = c.e.tables.train.grad_clip_norm;
  s.because("{:.0f}% of the gradients were above train.grad_clip_norm = {:g}, the median {:.0f} times",
            100 * c.clipped, limit, c.clip_ratio);
  s.advice = fmt::format("train.grad_clip_norm = {:.2g}, the usual norm, or 0", c.clip_ratio * limit);
}

QKV_REGISTER(Cause, "always-clipped", CauseOf<always_clipped>, "nearly every gradient is clipped");

}  // namespace qkv
