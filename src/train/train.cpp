// The loop of a training run.
#include <cmath>

#include "ops/optimizer_kernels.h"
#include "train/captures.h"
#include "train/replay.h"
#include "train/resume.h"
#include "train/signals.h"
#include "train/stopwatch.h"
#include "train/validate.h"

namespace qkv {
namespace {

constexpr std::int64_t kMaxSkippedInARow = 100;  // then the run has diverged
constexpr std::int64_t kSkipsExplained = 10;

bool due(std::int64_t step, std::int64_t every) {
  return every > 0 && step % every == 0;
}

// Evaluations without improvement have used up the patience.
bool stale(const Training& t) {
  return t.tables.eval.patience > 0 && t.state.stale_evals >= t.tables.eval.patience;
}

bool finite_parameters(const ParameterStore& store) {
  bool finite = true;
  for (int s = 0; s < store.size(); s++)
    dispatch("finite", store.dtype(), [&](auto t) {
      const Tensor& value = store.slot(s).value;
      finite = finite && std::isfinite(sum_of_squares(value.data<decltype(t)>(), value.size()));
    });
  return finite;
}

void capture(Training& t, bool last) {
  const Stopwatch timer(t.seconds.capture);
  if (t.captures->due(t.state.step, last)) t.captures->take(t.state.step);
}

void save(Training& t, MetricSinks& sinks, bool best) {
  const Stopwatch timer(t.seconds.checkpoint);
  sinks.flush();
  save_checkpoint(t, best);
}

// What was not finite in a step, into the log and the result.
void explain(Training& t, RunLogger& log, const StepReport& report, TrainResult& result) {
  const Diagnosis d = diagnose(t, report);
  result.failed_step = report.step;
  result.fault = d.summary();
  log.nonfinite(d, report);
}

// Ends a run, keeping the state before the step that failed where it is finite.
void diverge(Training& t, MetricSinks& sinks, RunLogger& log, const StepReport& report, TrainResult& result) {
  result.reason = StopReason::diverged;
  explain(t, log, report, result);
  if (!report.finite && t.state.step > 0 && finite_parameters(*t.experiment.parameters))
    save(t, sinks, false);
}

// What comes before the first step. With max_steps = 0 the weights stay as they are, e.g. those of
// train.init_from: they are evaluated and saved.
void begin(Training& t, MetricSinks& sinks, RunLogger& log, bool has_val) {
  if (!t.files.run.empty()) t.captures->open(t.files.run, t.state.step);
  if (t.state.step == 0) capture(t, t.max_steps == 0);
  if (t.max_steps > 0 || t.files.last_saved >= 0) return;
  if (!finite_parameters(*t.experiment.parameters))
    fail(Fault::data, "train: the weights must be finite; got a NaN or an infinity");
  save(t, sinks, has_val && validate(t, log, StepReport()).best);
}

}  // namespace

TrainResult train(Training& t, MetricSinks& sinks, const std::function<void(std::int64_t)>& on_step) {
  TrainState& state = t.state;
  const TrainingTables& c = t.tables;
  const double start = seconds_now() - state.seconds;
  const std::int64_t save_every = c.checkpoint.every > 0 ? c.checkpoint.every : c.eval.every;
  const bool has_val = t.experiment.task->examples(Split::val) > 0;
  RunLogger log(t, sinks);
  TrainResult result;
  if (stale(t)) result.reason = StopReason::early_stop;
  begin(t, sinks, log, has_val);
  for (bool last = stale(t) || state.step >= t.max_steps; !last;) {
    const StepReport& report = t.step();
    state.seconds = seconds_now() - start;
    if (!report.finite && (!t.skips() || state.skipped_in_a_row >= kMaxSkippedInARow)) {
      diverge(t, sinks, log, report, result);
      break;
    }
    if (!report.finite && state.skipped <= kSkipsExplained) explain(t, log, report, result);
    log.step(report);
    Evaluation evaluation;
    if (has_val && (due(state.step, c.eval.every) || state.step == t.max_steps))
      evaluation = validate(t, log, report);
    if (on_step) on_step(state.step);
    result.signal = signal_received();
    if (result.signal) result.reason = StopReason::interrupted;
    if (stale(t)) result.reason = StopReason::early_stop, result.signal = 0;
    last = result.reason != StopReason::max_steps || state.step == t.max_steps;
    capture(t, last && result.reason != StopReason::interrupted);
    if (evaluation.best || last || due(state.step, save_every)) {
      if (!finite_parameters(*t.experiment.parameters)) {  // the checkpoints so far are worth more than this
        diverge(t, sinks, log, report, result);
        break;
      }
      save(t, sinks, evaluation.best);
    }
    if (last && !evaluation.nonfinite.empty() && result.reason != StopReason::interrupted) {
      result.reason = StopReason::diverged;
      result.failed_step = state.step;
      result.fault = fmt::format("a validation {} that is not", evaluation.nonfinite);
    }
  }
  state.seconds = seconds_now() - start;
  result.step = state.step;
  result.best_step = state.best_step;
  result.best_value = state.best_value;
  return result;
}

const char* name_of(StopReason reason) {
  switch (reason) {
    case StopReason::max_steps:
      return "max_steps";
    case StopReason::early_stop:
      return "early_stop";
    case StopReason::interrupted:
      return "interrupted";
    case StopReason::diverged:
      return "diverged";
  }
  return "";
}

}  // namespace qkv
