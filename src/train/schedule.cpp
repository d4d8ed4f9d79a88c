#include "qkv/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "qkv/base/make.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Schedule);

namespace {

struct ScheduleConfig {
  std::int64_t warmup_steps = 0;
  double min_lr = 0.0;
  template <class F>
  void fields(F& f) {
    f("warmup_steps", warmup_steps, "steps over which the rate rises linearly from 0", rule::non_negative);
    f("min_lr", min_lr, "rate at the end of linear and cosine", rule::non_negative);
  }
};

// Linear warm-up, then `decay` of the progress in [0, 1] between warm-up and end: lr -> min_lr.
struct WarmUp : Schedule {
  WarmUp(const Section& config, double lr, std::int64_t steps) : lr(lr), steps(steps) {
    config.read(c);
    if (steps > 0 && c.warmup_steps >= steps)
      config.report("warmup_steps",
                    fmt::format("must be below the {} steps of the run; got {}", steps, c.warmup_steps));
  }
  double rate(std::int64_t step) const override {
    if (step <= c.warmup_steps) return lr * static_cast<double>(step) / static_cast<double>(c.warmup_steps);
    const double span = static_cast<double>(std::max<std::int64_t>(1, steps - c.warmup_steps));
    const double progress = std::min(1.0, static_cast<double>(step - c.warmup_steps) / span);
    return c.min_lr + (lr - c.min_lr) * decay(progress);
  }
  virtual double decay(double progress) const = 0;

  ScheduleConfig c;
  double lr;
  std::int64_t steps;
};

struct Constant : WarmUp {
  using WarmUp::WarmUp;
  double decay(double) const override { return 1.0; }
};
struct LinearDecay : WarmUp {
  using WarmUp::WarmUp;
  double decay(double progress) const override { return 1.0 - progress; }
};
struct Cosine : WarmUp {  // Loshchilov and Hutter 2017, without restarts
  using WarmUp::WarmUp;
  double decay(double progress) const override { return 0.5 * (1.0 + std::cos(M_PI * progress)); }
};
struct Noam : WarmUp {  // Vaswani et al. 2017, section 5.3, scaled so that the peak is lr
  using WarmUp::WarmUp;
  double rate(std::int64_t step) const override {
    const double warm = static_cast<double>(std::max<std::int64_t>(1, c.warmup_steps)),
                 s = static_cast<double>(step);
    return lr * std::sqrt(warm) * std::min(1.0 / std::sqrt(s), s / (warm * std::sqrt(warm)));
  }
  double decay(double) const override { return 1.0; }
};

}  // namespace

QKV_REGISTER(Schedule, "constant", Constant, "warm-up, then the full rate");
QKV_REGISTER(Schedule, "linear", LinearDecay, "warm-up, then linearly down to min_lr at the end of the run");
QKV_REGISTER(Schedule, "cosine", Cosine, "warm-up, then half a cosine down to min_lr at the end of the run");
QKV_REGISTER(Schedule, "noam", Noam, "warm-up, then with 1 / sqrt(step)");

std::unique_ptr<Schedule> make_schedule(const Section& config, double lr, std::int64_t steps) {
  return make<Schedule>(config, Schedule::kDefault, config, lr, steps);
}

}  // namespace qkv
