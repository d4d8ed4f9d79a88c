#include "qkv/train/training.h"

#include <algorithm>

#include "qkv/base/text.h"
#include "train/batches.h"
#include "train/captures.h"
#include "train/train_step.h"

namespace qkv {
namespace {

// The steps of the run, and of its evaluations where the config gives epochs.
void set_limits(Training& t) {
  const std::int64_t per_epoch = t.batches->per_epoch();
  const TrainConfig& c = t.tables.train;
  const std::int64_t accumulated = c.grad_accum_steps;
  t.max_steps = c.max_epochs == 0 ? c.max_steps : (c.max_epochs * per_epoch + accumulated - 1) / accumulated;
  if (t.tables.eval.every == 0) t.tables.eval.every = std::max<std::int64_t>(1, per_epoch / accumulated);
}

// Scores one example, so that a misspelt metric of a task that does not name its own is reported before the
// first evaluation.
void check_metric(const Experiment& e, const EvalConfig& eval) {
  if (!e.task->metrics().empty() || e.parameters->symbolic() || e.task->examples(Split::val) == 0) return;
  const int first = 0;
  Batch batch;
  Metrics metrics;
  collate(*e.task, Split::val, &first, 1, nullptr, batch);
  e.task->score(*e.model, batch, metrics);
  std::vector<std::string> names;
  for (auto& [name, value] : metrics.values()) names.push_back(name);
  if (std::find(names.begin(), names.end(), eval.metric) == names.end())
    e.config.section("eval").report("metric", fmt::format("must be one of {}; got '{}'{}", join(names, ", "),
                                                          eval.metric, suggest(eval.metric, names)));
}

}  // namespace

Training::Training(Experiment& e) : experiment(e), tables(e.tables) {}
Training::Training(Training&& other) noexcept = default;
Training::~Training() = default;

Training prepare_training(Experiment& e) {
  Training t(e);
  t.batches = make_batches(*e.task, t.tables.batches, e.run, e.parameters->symbolic());
  set_limits(t);
  t.optimizer = make_optimizer(e.config.section("optimizer"), *e.parameters);
  t.schedule = make_schedule(e.config.section("schedule"), t.optimizer->lr(), t.max_steps);
  check_in_place(e, t.tables.train, *t.optimizer);
  check_metric(e, t.tables.eval);
  t.captures = std::make_unique<Captures>(e, t.tables.inspect, t.max_steps);
  e.config.finish();  // every key is read: what is wrong with them comes out together

  e.parameters->freeze(t.tables.train.freeze);
  if (e.parameters->trainable_count() == 0)
    fail(Fault::usage, "train.freeze: must leave something to train; got everything");
  t.one_step = make_step(e, t.tables.train, *t.batches, *t.optimizer);
  return t;
}

const StepReport& Training::step() {
  const std::int64_t number = state.step + 1;
  const StepReport& report = one_step->make(number, schedule->rate(number));
  seconds.data += report.seconds.data;
  seconds.forward += report.seconds.forward;
  seconds.backward += report.seconds.backward;
  seconds.reduce += report.seconds.reduce;
  seconds.update += report.seconds.update;
  if (report.finite || skips()) state.count(report);
  return report;
}

std::int64_t Training::steps_per_epoch() const {
  const std::int64_t accumulated = tables.train.grad_accum_steps;
  return (batches->per_epoch() + accumulated - 1) / accumulated;
}

int Training::shards() const {
  return batches->shards();
}

void TrainState::count(const StepReport& report) {
  step++;
  skipped_in_a_row = report.finite ? 0 : skipped_in_a_row + 1;
  if (!report.finite) {
    skipped++;
    return;
  }
  tokens += report.tokens;
  window_loss += report.loss_sum;
  window_count += report.count;
}

}  // namespace qkv
