// The loop of a training run: its steps, evaluations and checkpoints, and what ends it.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <optional>

#include "base/clock.h"
#include "base/communicator.h"
#include "base/file.h"
#include "qkv/log/console.h"
#include "qkv/train/experiment.h"
#include "train/captures.h"
#include "train/run_logger.h"
#include "train/train_step.h"
#include "train/weight_average.h"

namespace qkv {
namespace {

constexpr std::int64_t kMaxSkippedInARow = 100;  // then the run has diverged
constexpr std::int64_t kSkipsExplained = 10;

volatile std::sig_atomic_t received = 0;
std::atomic<bool> reported{false};

void on_signal(int signal) {
  if (received && signal != SIGHUP) _exit(128 + signal);  // a terminal that closes may send two SIGHUPs
  if (!received) received = signal;
}

bool due(std::int64_t step, std::int64_t every) {
  return every > 0 && step % every == 0;
}

bool has_validation(const Training& t) {
  return t.experiment.task->examples(Split::val) > 0;
}

bool evaluation_due(const Training& t) {
  return (due(t.state.step, t.tables.eval.every) || t.state.step == t.max_steps()) && has_validation(t);
}

bool checkpoint_due(const Training& t) {
  const std::int64_t every = t.tables.checkpoint.every;
  return due(t.state.step, every > 0 ? every : t.tables.eval.every);
}

bool finite_parameters(const ParameterStore& store) {
  for (int s = 0; s < store.size(); s++)
    if (!std::isfinite(squares_of(store.slot(s).value))) return false;
  return true;
}

void capture(Training& t, RunLogger& log, bool last) {
  if (!t.captures->due(t.state.step, last)) return;
  const WeightAverage::InUse averaged(t.extras.average.get(), *t.experiment.parameters);
  {
    const Timer timer(t.seconds.capture);
    t.captures->take(t.state.step);
  }
  const Timer timer(t.seconds.circuits);
  const Circuits* circuits = t.captures->circuits();
  if (circuits && circuits->plan().has(t.state.step)) log.circuits(circuits->score(t.state.step));
}

void save(Training& t, MetricSinks& sinks, bool best) {
  const Timer timer(t.seconds.checkpoint);
  sinks.flush();
  save_checkpoint(t, best);
}

struct Evaluation {
  bool best = false;      // the metric of [eval] is better than ever
  std::string nonfinite;  // the first metric that is not finite
};

// Whether `value` is better than that of the best checkpoint so far; counts the evaluations without such.
bool improves(TrainState& state, const EvalConfig& c, double value, bool finite) {
  const bool better = c.higher_is_better() ? value > state.best_value : value < state.best_value;
  const bool best = finite && (state.best_step < 0 || better);
  if (best) {
    state.best_step = state.step;
    state.best_value = value;
    state.stale_evals = 0;
  } else {
    state.stale_evals++;
  }
  return best;
}

// Scores the validation split, keeps track of the best value, and records it all. `report`: of the last step.
Evaluation validate(Training& t, RunLogger& log, const StepReport& report) {
  const Timer timer(t.seconds.evaluate);
  const EvalConfig& c = t.tables.eval;
  const auto notice = [] {  // reports a signal; the evaluation continues to its end
    signal_received();
    return false;
  };
  const auto score = [&](Split split, std::int64_t examples) {
    return evaluate(*t.experiment.task, *t.experiment.model, split, t.tables.batches.eval_batch_size,
                    c.samples, examples, notice);
  };
  log.norms(report);
  const WeightAverage::InUse averaged(t.extras.average.get(), *t.experiment.parameters);
  const Metrics metrics = score(Split::val, 0);
  const std::vector<std::string> bad = metrics.nonfinite();
  const bool best = improves(t.state, c, metrics.value(c.metric), bad.empty());
  log.evaluation(metrics, c.train_examples > 0 ? score(Split::train, c.train_examples) : Metrics(), best);
  if (bad.empty()) log.samples();
  return {best, bad.empty() ? "" : bad.front()};
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
  if (!t.files.run.empty()) {
    make_directories(t.files.run);
    t.captures->open(t.files.run, t.state.step);
  }
  if (t.state.step == 0) capture(t, log, t.max_steps() == 0);
  if (t.max_steps() > 0 || t.files.last_saved >= 0) return;
  if (!finite_parameters(*t.experiment.parameters))
    fail(Fault::data, "train: the weights must be finite; got a NaN or an infinity");
  save(t, sinks, has_validation(t) && validate(t, log, StepReport()).best);
}

// Why the run ends after the current step, if it does.
std::optional<StopReason> stop_reason(const Training& t, int signal) {
  const std::int64_t patience = t.tables.eval.patience;  // evaluations without improvement
  if (patience > 0 && t.state.stale_evals >= patience) return StopReason::early_stop;
  if (signal) return StopReason::interrupted;
  if (t.state.step >= t.max_steps()) return StopReason::max_steps;
  if (t.files.pause_at > 0 && t.state.step >= t.files.pause_at) return StopReason::interrupted;
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
    stop = stop_reason(t, t.one_step->signal());
    if (stop == StopReason::interrupted) result.signal = t.one_step->signal();
    capture(t, log, stop && stop != StopReason::interrupted);
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

void install_signal_handlers() {
  communicator().stopping = [] {
    return received != 0;
  };
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;  // the parent's wish: nohup, or a job in the background
    action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
}

int signal_received() {
  if (received && !reported.exchange(true))
    console().info("signal {}: the run stops as soon as it can be saved (a second signal stops it at once)",
                   static_cast<int>(received));
  return received;
}

void request_stop(int signal) {
  received = signal;
  reported = signal != 0;  // who asks knows
}

int agreed_signal() {
  if (communicator().alone()) return signal_received();
  const std::vector<std::string> all =
      communicator().all(std::string(1, static_cast<char>(signal_received())));
  return (*std::max_element(all.begin(), all.end()))[0];
}

bool is_whole(StopReason reason) {
  return reason == StopReason::max_steps || reason == StopReason::early_stop;
}

const char* name_of(StopReason reason) {
  constexpr const char* kNames[] = {"max_steps", "early_stop", "interrupted", "diverged"};
  return kNames[static_cast<int>(reason)];
}

}  // namespace qkv
