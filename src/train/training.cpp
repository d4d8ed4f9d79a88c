#include "qkv/train/training.h"

#include <algorithm>
#include <cmath>

#include "model/skip_gram.h"
#include "nn/adapters.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "tensor/pool.h"
#include "train/attention_loss.h"
#include "train/captures.h"
#include "train/cut_heads.h"
#include "train/train_step.h"
#include "train/weight_average.h"

namespace qkv {
namespace {

// The steps of the run, and of its evaluations where the config gives epochs.
void set_limits(Training& t) {
  TrainConfig& c = t.tables.train;
  c.max_steps = t.steps_of(c);
  if (t.tables.eval.every == 0)
    t.tables.eval.every = std::max<std::int64_t>(1, t.batches->per_epoch() / c.grad_accum_steps);
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

// Mutes what train.without names.
void leave_out(Training& t) {
  const std::vector<std::int64_t>& without = t.tables.fork.without;
  if (without.empty()) return;
  const Experiment& e = t.experiment;
  const std::int64_t n = e.task->examples(Split::train),
                     most = *std::max_element(without.begin(), without.end());
  if (most >= n)
    e.config.section("train").report(
        "without", fmt::format("must be numbers of training examples, 0 .. {}; got {}", n - 1, most));
  if (dynamic_cast<RowLearner*>(e.model.get()))
    e.config.section("train").report("without", "must be empty with a model whose rows learn in place");
  t.batches->leave_out(without);
}

struct Walk {
  double kept, reused;  // bytes if all tensors are kept, and if they are freed after use
};

// The memory of a forward pass over the longest examples.
Walk walk(const Experiment& e, Index examples) {
  constexpr std::size_t kLive = 3;  // e.g. the input, the norm and the result of a layer
  const Batch batch = e.task->Task::symbolic_batch(examples);
  const SymbolicBytes bytes;
  try {
    e.task->loss(*e.model, batch);
  } catch (const Error&) {  // code that computes with elements: counted up to there
  }
  return {bytes.kept(), bytes.reused(kLive)};
}

// Examples of a training batch, if all are as long as the longest.
Index batch_examples(Task& task, const BatchConfig& config) {
  if (!config.by_tokens()) return std::min(config.batch_size, task.examples(Split::train));
  Index longest = 1;
  for (const auto& [name, tensor] : task.Task::symbolic_batch(1)) longest = std::max(longest, tensor.size());
  return std::max<Index>(1, config.batch_size / longest);
}

// An evaluation frees what it computes. Its tensors are larger than those of training: the pool holds both.
double evaluation_bytes(const Experiment& e, Index batch_size, double threads) {
  const Index n = e.task->examples(Split::val);
  if (n == 0) return 0;
  const Index examples = std::min(n, batch_size);
  const double batches = std::ceil(static_cast<double>(n) / static_cast<double>(examples));
  return (walk(e, examples).reused + e.task->scoring_bytes(*e.model)) * std::min(threads, batches);
}

}  // namespace

Training::Training(Experiment& e) : experiment(e), tables(e.tables) {}
Training::Training(Training&& other) noexcept = default;
Training::~Training() = default;

Training prepare_training(Experiment& e) {
  Training t(e);
  RunConfig run = e.run;
  if (t.tables.fork.seed > 0) run.seed = t.tables.fork.seed;
  t.batches = make_batches(*e.task, t.tables.batches, run, e.parameters->symbolic());
  set_limits(t);
  leave_out(t);
  const LoraConfig& lora = t.tables.lora;
  if (lora.rank > 0)
    t.extras.adapters = std::make_unique<Adapters>(*e.parameters, lora.rank, lora.alpha, lora.targets,
                                                   t.tables.train.init_except);
  if (lora.rank > 0 && t.tables.train.ema_decay > 0)
    e.config.section("train").report("ema_decay", "must be 0 with [train.lora]");
  if (!t.tables.fork.ablate.empty()) {
    const Section train = e.config.section("train");
    t.extras.cut = std::make_unique<CutHeads>(*e.parameters, train, t.tables.fork.ablate);
    if (lora.rank > 0 || t.tables.train.ema_decay > 0)
      train.report("ablate", "must be empty with [train.lora] and with ema_decay, which keep other weights");
  }
  t.optimizer = make_optimizer(e.config.section("optimizer"), *e.parameters);
  t.schedule = make_schedule(e.config.section("schedule"), t.optimizer->lr(), t.max_steps());
  check_in_place(e, t.tables.train, *t.optimizer);
  check_ranks(e, *t.batches, *t.optimizer);
  check_metric(e, t.tables.eval);
  if (!t.tables.attention_loss.file.empty())
    t.extras.attention_loss = std::make_unique<AttentionLoss>(e, t.tables.attention_loss);
  t.captures = std::make_unique<Captures>(e, t.tables.inspect, t.max_steps());
  e.config.finish();  // every key is read: what is wrong with them comes out together

  e.parameters->freeze(t.tables.train.freeze);
  if (e.parameters->trainable_count() == 0)
    fail(Fault::usage, "train.freeze: must leave something to train; got everything");
  if (t.extras.cut && !e.parameters->symbolic()) t.extras.cut->cut();
  t.one_step = make_step(t);
  if (const double decay = t.tables.train.ema_decay; decay > 0)
    t.extras.average = std::make_unique<WeightAverage>(*e.parameters, decay);
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
  if (report.finite && extras.average) extras.average->add(*experiment.parameters, number);
  return report;
}

std::int64_t Training::steps_in(std::int64_t epochs) const {
  const std::int64_t accumulated = tables.train.grad_accum_steps;
  return (epochs * batches->per_epoch() + accumulated - 1) / accumulated;
}

int Training::shards() const {
  return batches->shards();
}

std::size_t memory_estimate(const Training& t) {
  const Experiment& e = t.experiment;
  const double threads = static_cast<double>(e.run.threads > 0 ? e.run.threads : available_threads());
  double bytes = 2 * static_cast<double>(e.parameters->bytes());  // once more in a checkpoint that is read
  bytes += static_cast<double>(t.optimizer->bytes() + (t.extras.average ? t.extras.average->bytes() : 0));
  if (t.extras.adapters) bytes += static_cast<double>(t.extras.adapters->bytes());
  bytes += t.one_step->bytes(walk(e, batch_examples(*e.task, t.tables.batches)).kept, threads);
  bytes += evaluation_bytes(e, t.tables.batches.eval_batch_size, threads);
  return static_cast<std::size_t>(bytes);
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
