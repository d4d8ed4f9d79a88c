#include "train/validate.h"

#include "qkv/train/experiment.h"
#include "train/signals.h"
#include "train/stopwatch.h"

namespace qkv {

// Whether `value` is better than that of the best checkpoint so far; counts the evaluations without such.
static bool improves(TrainState& state, const EvalConfig& c, double value, bool finite) {
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

Evaluation validate(Training& t, RunLogger& log, const StepReport& report) {
  const Stopwatch timer(t.seconds.evaluate);
  const EvalConfig& c = t.tables.eval;
  const auto notice = [] {  // reports a signal; the evaluation continues to its end
    signal_received();
    return false;
  };
  const auto score = [&](Split split, std::int64_t examples) {
    return evaluate(*t.experiment.task, *t.experiment.model, split, t.tables.batches.eval_batch_size,
                    c.samples, examples, notice);
  };
  const Metrics metrics = score(Split::val, 0);
  const std::vector<std::string> bad = metrics.nonfinite();
  const bool best = improves(t.state, c, metrics.value(c.metric), bad.empty());
  log.norms(report);
  log.evaluation(metrics, c.train_examples > 0 ? score(Split::train, c.train_examples) : Metrics(), best);
  if (bad.empty()) log.samples();
  return {best, bad.empty() ? "" : bad.front()};
}

}  // namespace qkv
