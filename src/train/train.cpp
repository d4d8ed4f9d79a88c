// The loop of a training run.
#include <cmath>
#include <optional>

#include "ops/optimizer_kernels.h"
#include "train/captures.h"
#include "train/replay.h"
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

bool has_validation(const Training& t) {
  return t.experiment.task->examples(Split::val) > 0;
}

bool evaluation_due(const Training& t) {
  return (due(t.state.step, t.tables.eval.every) || t.state.step == t.max_steps) && has_validation(t);
}

bool checkpoint_due(const Training& t) {
  const std::int64_t every = t.tables.checkpoint.every;
  return due(t.state.step, every > 0 ? every : t.tables.eval.every);
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
StopReason diverge(Training& t, MetricSinks& sinks, RunLogger& log, const StepReport& report,
                   TrainResult& result) {
  explain(t, log, report, result);
  if (!report.finite && t.state.step > 0 && finite_parameters(*t.experiment.parameters))
    save(t, sinks, false);
  return StopReason::diverged;
}

// What comes before the first step. With max_steps = 0 the weights stay as they are, e.g. those of
// train.init_from: they are evaluated and saved.
void begin(Training& t, MetricSinks& sinks, RunLogger& log) {
  if (!t.files.run.empty()) t.captures->open(t.files.run, t.state.step);
  if (t.state.step == 0) capture(t, t.max_steps == 0);
  if (t.max_steps > 0 || t.files.last_saved >= 0) return;
  if (!finite_parameters(*t.experiment.parameters))
    fail(Fault::data, "train: the weights must be finite; got a NaN or an infinity");
  save(t, sinks, has_validation(t) && validate(t, log, StepReport()).best);
}

// Why the run ends after the current step, if it does.
std::optional<StopReason> stop_reason(const Training& t, int signal) {
  const std::int64_t patience = t.tables.eval.patience;  // evaluations without improvement
  if (patience > 0 && t.state.stale_evals >= patience) return StopReason::early_stop;
  if (signal) return StopReason::interrupted;
  if (t.state.step >= t.max_steps) return StopReason::max_steps;
  return std::nullopt;
}

}  // namespace

TrainResult train(Training& t, MetricSinks& sinks, const std::function<void(std::int64_t)>& on_step) {
  TrainState& state = t.state;
  TrainResult result;
  RunLogger log(t, sinks);
  const double start = steady_seconds() - state.seconds;
  begin(t, sinks, log);
  std::optional<StopReason> stop = stop_reason(t, 0);
  while (!stop) {
    const StepReport& report = t.step();
    state.seconds = steady_seconds() - start;
    if (!report.finite && (!t.skips() || state.skipped_in_a_row >= kMaxSkippedInARow)) {
      stop = diverge(t, sinks, log, report, result);
      break;
    }
    if (!report.finite && state.skipped <= kSkipsExplained) explain(t, log, report, result);
    log.step(report);
    Evaluation evaluation;
    if (evaluation_due(t)) evaluation = validate(t, log, report);
    if (on_step) on_step(state.step);
    stop = stop_reason(t, signal_received());
    if (stop == StopReason::interrupted) result.signal = signal_received();
    capture(t, stop && stop != StopReason::interrupted);
    if (evaluation.best || stop || checkpoint_due(t)) {
      if (finite_parameters(*t.experiment.parameters))
        save(t, sinks, evaluation.best);
      else  // keep the checkpoints so far rather than this one
        stop = diverge(t, sinks, log, report, result);
    }
    if (stop && is_whole(*stop) && !evaluation.nonfinite.empty()) {
      stop = StopReason::diverged;
      result.failed_step = state.step;
      result.fault = fmt::format("a validation {} that is not", evaluation.nonfinite);
    }
  }
  state.seconds = steady_seconds() - start;
  result.reason = *stop;
  result.step = state.step;
  result.best_step = state.best_step;
  result.best_value = state.best_value;
  return result;
}

bool is_whole(StopReason reason) {
  return reason == StopReason::max_steps || reason == StopReason::early_stop;
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
