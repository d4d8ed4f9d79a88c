// How the optimizer steps: rate, warm-up, clipping, batch.
#include "diagnosis/cause.h"
#include "log/record_keys.h"

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

static void small_batch(const RunCase& c, Suspicion& s) {
  constexpr double kExamples = 4;   // of a step; more is a matter of taste
  constexpr double kJitter = 0.01;  // share of the loss by which it changes from record to record
  const auto batch = double(c.e.tables.batches.batch_size * c.e.tables.train.grad_accum_steps);
  if (c.e.tables.batches.by_tokens() || batch > kExamples || c.solved() || !(c.jitter > kJitter)) return;
  s.score = batch == 1 ? 0.75 : 0.6;
  s.because("a step sees {:.0f} example{}; from record to record the loss changes by {:.0f}%", batch,
            batch == 1 ? "" : "s", 100 * c.jitter);
  s.advice = "a larger data.batch_size or train.grad_accum_steps, or a lower optimizer.lr";
}

QKV_REGISTER(Cause, "small-batch", CauseOf<small_batch>, "the batch is too small for its noise");

static void not_finite(const RunCase& c, Suspicion& s) {
  if (!c.nonfinite) return;
  const Record& r = *c.nonfinite;
  s.score = 1;
  s.because("step {} was not finite: pass {}{}{}", r.step(), r.text(key::pass),
            r.has(key::op) ? fmt::format(", op '{}'", r.text(key::op)) : "",
            r.has(key::parameters) ? fmt::format(", parameter '{}'", r.text(key::parameters)) : "");
  if (r.has(key::examples)) s.because("training examples {} give such values", r.text(key::examples));
  s.advice = fmt::format("`qkv why RUN {}` replays the step and shows what went into the op", r.step());
}

QKV_REGISTER(Cause, "not-finite", CauseOf<not_finite>, "a value became NaN or infinite");

}  // namespace qkv
