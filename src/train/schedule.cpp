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
  void fields(FieldCollector& f) {
    f("warmup_steps", warmup_steps, "steps over which the rate rises linearly from 0", rule::non_negative);
    f("min_lr", min_lr, "rate at the end of linear, wsd and cosines", rule::non_negative);
  }
};

// Linear warm-up to lr, then `level` of the way from min_lr to lr; by itself, all of it.
struct WarmUp : Schedule {
  WarmUp(const Section& config, double lr, std::int64_t steps) : lr(lr), steps(steps) {
    config.read(c);
    if (steps > 0 && c.warmup_steps >= steps)
      config.report("warmup_steps",
                    fmt::format("must be below the {} steps of the run; got {}", steps, c.warmup_steps));
  }
  double rate(std::int64_t step) const override {
    if (step <= c.warmup_steps) return lr * static_cast<double>(step) / static_cast<double>(c.warmup_steps);
    return c.min_lr + (lr - c.min_lr) * level(step);
  }
  virtual double level(std::int64_t) const { return 1.0; }
  // 0 at the end of the warm-up, 1 at that of the run.
  double progress(std::int64_t step) const {
    const double span = static_cast<double>(std::max<std::int64_t>(1, steps - c.warmup_steps));
    return std::min(1.0, static_cast<double>(step - c.warmup_steps) / span);
  }

  ScheduleConfig c;
  double lr;
  std::int64_t steps;
};

double half_cosine(double progress) {
  return 0.5 * (1.0 + std::cos(M_PI * progress));
}

struct LinearDecay : WarmUp {
  using WarmUp::WarmUp;
  double level(std::int64_t step) const override { return 1.0 - progress(step); }
};
struct Cosine : WarmUp {  // Loshchilov and Hutter 2017, without restarts
  using WarmUp::WarmUp;
  double level(std::int64_t step) const override { return half_cosine(progress(step)); }
};
// Cycles of half a cosine, each `cycle_mult` times as long as the one before (Loshchilov and Hutter 2017).
struct CosineRestarts : WarmUp {
  CosineRestarts(const Section& config, double lr, std::int64_t steps)
      : WarmUp(config, lr, steps),
        cycle(config.get("cycle_steps", std::int64_t(1000), "steps of the first cycle", rule::positive)),
        factor(config.get("cycle_mult", 2.0, "length of each further cycle, in that of the one before",
                          rule::between(1.0, 100.0))) {}
  double level(std::int64_t step) const override {
    double at = static_cast<double>(step - c.warmup_steps - 1), length = static_cast<double>(cycle);
    while (at >= length) at -= length, length *= factor;
    return half_cosine(at / length);
  }
  std::int64_t cycle;
  double factor;
};

enum class Decay { linear, one_minus_sqrt };
std::vector<std::string> names_of(Decay) {
  return {"linear", "1-sqrt"};
}

// Warm-up, a long time at the full rate, then down (warmup-stable-decay, Hu et al. 2024, "MiniCPM"; 1 - sqrt:
// Haegele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training durations"). Several
// runs of other lengths can go on from one checkpoint of the full rate.
struct Stable : WarmUp {
  Stable(const Section& config, double lr, std::int64_t steps)
      : WarmUp(config, lr, steps),
        fall(config.get("decay_steps", std::int64_t(0),
                        "steps at the end of the run in which the rate falls; 0 = a fifth of those after the "
                        "warm-up",
                        rule::non_negative)),
        shape(config.get("decay", Decay::linear, "how it falls to min_lr")) {
    const std::int64_t after = steps - c.warmup_steps;
    if (steps > 0 && after > 0 && fall > after)
      config.report("decay_steps", fmt::format("must be at most the {} steps of the run after the warm-up; "
                                               "got {}",
                                               after, fall));
    if (fall == 0) fall = std::max<std::int64_t>(1, after / 5);
  }
  double level(std::int64_t step) const override {
    const double at = static_cast<double>(step - (steps - fall)) / static_cast<double>(fall);
    if (at <= 0) return 1.0;
    return shape == Decay::linear ? 1.0 - std::min(1.0, at) : 1.0 - std::sqrt(std::min(1.0, at));
  }
  std::int64_t fall;
  Decay shape;
};
struct Noam : WarmUp {  // Vaswani et al. 2017, section 5.3, scaled so that the peak is lr
  using WarmUp::WarmUp;
  double rate(std::int64_t step) const override {
    const double warm = static_cast<double>(std::max<std::int64_t>(1, c.warmup_steps)),
                 s = static_cast<double>(step);
    return lr * std::sqrt(warm) * std::min(1.0 / std::sqrt(s), s / (warm * std::sqrt(warm)));
  }
};

}  // namespace

QKV_REGISTER(Schedule, "constant", WarmUp, "warm-up, then the full rate");
QKV_REGISTER(Schedule, "linear", LinearDecay, "warm-up, then linearly down to min_lr at the end of the run");
QKV_REGISTER(Schedule, "cosine", Cosine, "warm-up, then half a cosine down to min_lr at the end of the run");
QKV_REGISTER(Schedule, "cosine-restarts", CosineRestarts,
             "warm-up, then half cosines down to min_lr, again and again");
QKV_REGISTER(Schedule, "wsd", Stable,
             "warm-up, the full rate, then down to min_lr at the end of the run (trapezoid)");
QKV_REGISTER(Schedule, "noam", Noam, "warm-up, then with 1 / sqrt(step)");

std::unique_ptr<Schedule> make_schedule(const Section& config, double lr, std::int64_t steps) {
  return make<Schedule>(config, Schedule::kDefault, config, lr, steps);
}

}  // namespace qkv
