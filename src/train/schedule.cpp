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
    f("min_lr", min_lr, "rate at the end of linear, trapezoid and cosines", rule::non_negative);
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
// Cycles of a cosine, each `cycle_mult` times as long as the one before (Loshchilov and Hutter 2017).
struct CosineRestarts : WarmUp {
  CosineRestarts(const Section& config, double lr, std::int64_t steps)
      : WarmUp(config, lr, steps),
        cycle(config.get("cycle_steps", std::int64_t(1000), "steps of the first cycle", rule::positive)),
        factor(config.get("cycle_mult", 2.0, "length of each further cycle, in that of the one before",
                          rule::between(1.0, 100.0))) {}
  double rate(std::int64_t step) const override {
    if (step <= c.warmup_steps) return WarmUp::rate(step);
    // The place in the cycle: cycle n begins after cycle (factor^n - 1) / (factor - 1) steps.
    double at = static_cast<double>(step - c.warmup_steps - 1), length = static_cast<double>(cycle);
    while (at >= length) at -= length, length *= factor;
    return c.min_lr + (lr - c.min_lr) * decay(at / length);
  }
  double decay(double progress) const override { return 0.5 * (1.0 + std::cos(M_PI * progress)); }
  std::int64_t cycle;
  double factor;
};

enum class Decay { linear, one_minus_sqrt };
std::vector<std::string> names_of(Decay) {
  return {"linear", "1-sqrt"};
}

// Warm-up, a long time at the full rate, then down: the plateau of one run can be the start of several
// (Hu et al. 2024, "MiniCPM"; 1 - sqrt: Haegele et al. 2024).
struct Trapezoid : WarmUp {
  Trapezoid(const Section& config, double lr, std::int64_t steps)
      : WarmUp(config, lr, steps),
        share(config.get("decay_share", 0.2, "share of the steps after the warm-up in which the rate falls",
                         rule::between(0.0, 1.0))),
        shape(config.get("decay", Decay::linear, "how it falls to min_lr")) {}
  double decay(double progress) const override {
    const double at = share > 0 ? (progress - (1.0 - share)) / share : 0.0;
    return at <= 0 ? 1.0 : shape == Decay::linear ? 1.0 - at : 1.0 - std::sqrt(at);
  }
  double share;
  Decay shape;
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
QKV_REGISTER(Schedule, "cosine-restarts", CosineRestarts, "warm-up, then cosines that begin anew");
QKV_REGISTER(Schedule, "trapezoid", Trapezoid,
             "warm-up, the full rate, then down to min_lr at the end of the run (warmup-stable-decay)");
QKV_REGISTER(Schedule, "noam", Noam, "warm-up, then with 1 / sqrt(step)");

std::unique_ptr<Schedule> make_schedule(const Section& config, double lr, std::int64_t steps) {
  return make<Schedule>(config, Schedule::kDefault, config, lr, steps);
}

}  // namespace qkv
