#include "qkv/train/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/error.h"

namespace qkv {

static double rate(const std::string& text, std::int64_t step, std::int64_t steps = 100) {
  const Section config = Section::parse("[schedule]\n" + text);
  const auto schedule = make_schedule(config.section("schedule"), 0.5, steps);
  config.finish();
  return schedule->rate(step);
}

TEST_CASE("schedules follow their closed forms") {
  const double pi = std::acos(-1.0);
  for (std::int64_t s : {1, 2, 10, 11, 30, 31, 37, 55, 70, 71, 99, 100, 150}) {
    CAPTURE(s);
    const double t = static_cast<double>(s), warm = std::min(1.0, t / 10);
    const double progress = std::clamp((t - 10) / 90, 0.0, 1.0);
    auto near = [](double value) {
      return doctest::Approx(value).epsilon(1e-12);
    };
    CHECK(rate("type = \"constant\"", s) == near(0.5));
    CHECK(rate("type = \"constant\"\nwarmup_steps = 10", s) == near(0.5 * warm));
    CHECK(rate("type = \"linear\"\nwarmup_steps = 10", s) == near(0.5 * warm * (1 - progress)));
    CHECK(rate("type = \"linear\"\nwarmup_steps = 10\nmin_lr = 0.1", s) ==
          near(s <= 10 ? 0.5 * warm : 0.1 + 0.4 * (1 - progress)));
    CHECK(rate("type = \"cosine\"\nwarmup_steps = 10\nmin_lr = 0.1", s) ==
          near(s <= 10 ? 0.5 * warm : 0.1 + 0.4 * 0.5 * (1 + std::cos(pi * progress))));
    const double fall = std::clamp((t - 70) / 30, 0.0, 1.0), fifth = std::clamp((t - 82) / 18, 0.0, 1.0);
    const std::string flat = "type = \"wsd\"\nwarmup_steps = 10\ndecay_steps = 30\n";
    CHECK(rate("type = \"wsd\"\nwarmup_steps = 10", s) == near(0.5 * warm * (1 - fifth)));
    CHECK(rate(flat, s) == near(0.5 * warm * (1 - fall)));
    CHECK(rate(flat + "min_lr = 0.1\ndecay = \"1-sqrt\"", s) ==
          near(s <= 10 ? 0.5 * warm : 0.1 + 0.4 * (1 - std::sqrt(fall))));
    // Cycles of 20, 40 and 80 steps after the warm-up.
    const double place = t <= 30 ? (t - 11) / 20 : t <= 70 ? (t - 31) / 40 : (t - 71) / 80;
    CHECK(rate("type = \"cosine-restarts\"\nwarmup_steps = 10\ncycle_steps = 20\nmin_lr = 0.1", s) ==
          near(s <= 10 ? 0.5 * warm : 0.1 + 0.4 * 0.5 * (1 + std::cos(pi * place))));
    // lr = d^-0.5 min(s^-0.5, s w^-1.5) of the paper, with its peak w^-0.5 scaled to lr
    CHECK(rate("type = \"noam\"\nwarmup_steps = 10", s) ==
          near(0.5 * std::sqrt(10.0) * std::min(1 / std::sqrt(t), t / (10 * std::sqrt(10.0)))));
  }
  CHECK(rate("type = \"linear\"", 100) == 0);
  CHECK(rate("type = \"cosine\"", 1, 1) == doctest::Approx(0));
}

TEST_CASE("a warm-up must end before the run does") {
  CHECK_THROWS_WITH_AS(
      rate("warmup_steps = 100", 1),
      "config.toml:2:16: schedule.warmup_steps must be below the 100 steps of the run; got 100", Error);
  CHECK_THROWS_WITH_AS(rate("type = \"wsd\"\nwarmup_steps = 10\ndecay_steps = 91", 1),
                       "config.toml:4:15: schedule.decay_steps must be at most the 90 steps of the run after "
                       "the warm-up; got 91",
                       Error);
}

}  // namespace qkv
