#include "qkv/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/ops/optimizer_kernels.h"
#include "qkv/train/checkpoint.h"
#include "qkv/train/evaluate.h"

namespace qkv {

constexpr std::int64_t kMaxSkippedInARow = 100;

// The lasting parts of a shard: reused every step, so that a step does not allocate.
struct Trainer::Shard {
  Batch batch;
  double loss = 0, count = 0;
  std::int64_t tokens = 0;
};

static double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Trainer::Trainer(Experiment& experiment) : experiment_(experiment) {
  const Section& config = experiment.config;
  Task& task = *experiment.task;
  TrainingTables tables;
  tables.read(config, task.metrics());
  train_ = tables.train, eval_ = tables.eval, checkpoint_ = tables.checkpoint, log_ = tables.log;
  batch_size_ = tables.batch_size, eval_batch_size_ = tables.eval_batch_size;
  ParameterStore& parameters = *experiment.parameters;
  // All data is read here, so that a fault in it is told before a run directory is made.
  for (Split split : {Split::val, Split::test}) task.examples(split);
  const Index n = task.examples(Split::train);
  if (n == 0) fail(Fault::data, "data.train: must hold examples; got none");
  SamplerOptions options;
  double total_length = 0;
  const Index measured = task.uniform_length() && !tables.by_tokens ? 1 : n;
  for (Index i = 0; i < measured; i++) {
    const Index length = task.length(Split::train, static_cast<int>(i));
    total_length += static_cast<double>(length);
    if ((tables.buckets || tables.by_tokens) && measured == n)
      options.lengths.push_back(static_cast<int>(length));
  }
  if (tables.by_tokens) options.batch_tokens = batch_size_;
  const double mean_length = std::max(1.0, total_length / static_cast<double>(measured));
  const Index in_batch =
      tables.by_tokens
          ? std::max<Index>(1, static_cast<Index>(static_cast<double>(batch_size_) / mean_length))
          : batch_size_;
  sampler_ =
      std::make_unique<Sampler>(n, batch_size_, static_cast<std::uint64_t>(experiment.run.seed), options);

  const std::int64_t per_epoch = sampler_->steps_per_epoch();
  max_steps_ = train_.max_steps > 0
                   ? train_.max_steps
                   : (train_.max_epochs * per_epoch + train_.grad_accum_steps - 1) / train_.grad_accum_steps;
  if (eval_.every == 0) eval_.every = std::max<std::int64_t>(1, per_epoch / train_.grad_accum_steps);
  optimizer_ = make_optimizer(config.section("optimizer"), parameters);
  schedule_ = make_schedule(config.section("schedule"), optimizer_->lr(), max_steps_);
  check_metric();
  config.finish();

  const int shards = choose_shards(experiment.run.shards, std::min(in_batch, n), mean_length);
  parameters.freeze(train_.freeze);
  if (parameters.trainable_count() == 0)
    fail(Fault::usage, "train.freeze: must leave something to train; got everything");
  chunks_ = chunks_of(parameters);
  gradients_.resize(static_cast<std::size_t>(shards));
  for (int s = 0; s < shards; s++) shards_.push_back(std::make_unique<Shard>());
}

Trainer::~Trainer() = default;

std::int64_t Trainer::steps_per_epoch() const {
  return (sampler_->steps_per_epoch() + train_.grad_accum_steps - 1) / train_.grad_accum_steps;
}

// Scores one example, so that a misspelt metric of a task that does not name its own is told before the first
// evaluation.
void Trainer::check_metric() const {
  if (!experiment_.task->metrics().empty()) return;
  if (experiment_.parameters->symbolic() || experiment_.task->examples(Split::val) == 0) return;
  const int first = 0;
  Batch batch;
  Metrics metrics;
  experiment_.task->collate(Split::val, &first, 1, nullptr, batch);
  experiment_.task->score(*experiment_.model, batch, metrics);
  std::vector<std::string> names;
  for (auto& [name, value] : metrics.values()) names.push_back(name);
  if (std::find(names.begin(), names.end(), eval_.metric) == names.end())
    experiment_.config.section("eval").report(
        "metric", fmt::format("must be one of {}; got '{}'{}", join(names, ", "), eval_.metric,
                              suggest(eval_.metric, names)));
}

void Trainer::attach(std::string run, std::string resolved) {
  run_ = std::move(run);
  resolved_ = std::move(resolved);
}

// ---- one step -----------------------------------------------------------------------------------

void Trainer::run_shard(int s, std::int64_t micro_step) {
  Shard& shard = *shards_[static_cast<std::size_t>(s)];
  const std::int64_t n = static_cast<std::int64_t>(indices_.size()), parts = this->shards();
  const std::int64_t begin = n * s / parts, end = n * (s + 1) / parts;
  if (begin == end) return;
  const std::uint64_t seed = static_cast<std::uint64_t>(experiment_.run.seed);
  const Task& task = *experiment_.task;
  const Stream noise(seed, "noise", micro_step, s);
  task.collate(Split::train, indices_.data() + begin, end - begin, &noise, shard.batch);

  Tape tape(Stream(seed, "dropout", micro_step, s));
  Loss loss = task.loss(*experiment_.model, shard.batch);
  shard.loss += loss.sum.value().item();
  shard.count += loss.count;
  shard.tokens += task.tokens(shard.batch);
  tape.backward(loss.sum, gradients_[static_cast<std::size_t>(s)]);
}

void Trainer::forward_backward(std::int64_t micro_step) {
  sampler_->batch(micro_step, indices_);
  pool().run(shards(), [&](int shard, int) { run_shard(shard, micro_step); });
}

StepReport Trainer::step() {
  for (auto& shard : shards_) shard->loss = shard->count = 0, shard->tokens = 0;
  for (Gradients& gradients : gradients_) gradients.clear();
  for (std::int64_t k = 0; k < train_.grad_accum_steps; k++)
    forward_backward(state_.step * train_.grad_accum_steps + k);

  StepReport report;
  double loss = 0;
  for (auto& shard : shards_)
    loss += shard->loss, report.count += shard->count, report.tokens += shard->tokens;
  report.loss = report.count > 0 ? loss / report.count : 0.0;
  const double squares = reduce(gradients_, *experiment_.parameters, chunks_, scratch_);
  if (state_.step == 0) check_all_have_gradients(gradients_[0], *experiment_.parameters);
  const double scale = report.count > 0 ? 1.0 / report.count : 0.0;
  report.grad_norm = std::sqrt(squares) * scale;
  report.lr = schedule_->rate(state_.step + 1);
  report.finite = std::isfinite(report.grad_norm) && std::isfinite(report.loss);
  if (!report.finite && train_.on_nonfinite == "stop") return report;
  report.skipped = !report.finite;
  state_.step++;
  state_.skipped_in_a_row = report.skipped ? state_.skipped_in_a_row + 1 : 0;
  if (report.skipped) {
    state_.skipped++;
    return report;
  }
  double clip = 1.0;
  if (train_.grad_clip_norm > 0 && report.grad_norm > train_.grad_clip_norm)
    clip = train_.grad_clip_norm / report.grad_norm;
  optimizer_->update(*experiment_.parameters, gradients_[0], chunks_, {state_.step, report.lr, scale * clip});
  state_.tokens += report.tokens;
  state_.window_loss += loss;
  state_.window_count += report.count;
  state_.window_tokens += report.tokens;
  return report;
}

// ---- the loop -----------------------------------------------------------------------------------

bool Trainer::due(std::int64_t every) const {
  return every > 0 && state_.step % every == 0;
}

// Evaluations without improvement have used up the patience.
bool Trainer::stale() const {
  return eval_.patience > 0 && state_.stale_evals >= eval_.patience;
}

bool Trainer::finite_parameters() const {
  const ParameterStore& store = *experiment_.parameters;
  bool finite = true;
  for (int s = 0; s < store.size(); s++)
    dispatch("finite", store.dtype(), [&](auto t) {
      const Tensor& value = store.slot(s).value;
      finite = finite && std::isfinite(sum_of_squares(value.data<decltype(t)>(), value.size()));
    });
  return finite;
}

void Trainer::record_divergence(MetricSinks& sinks, const StepReport& report, TrainResult& result) {
  result.reason = "diverged";
  result.failed_step = report.finite || report.skipped ? state_.step : state_.step + 1;
  record_.reset("nonfinite").add("step", result.failed_step);
  sinks.write(record_.add("loss", report.loss).add("grad_norm", report.grad_norm));
}

TrainResult Trainer::train(MetricSinks& sinks, const std::function<void(std::int64_t)>& on_step) {
  const double start = seconds_now() - state_.seconds;
  TrainResult result;
  result.reason = stale() ? "early_stop" : "max_steps";
  const bool has_val = experiment_.task->examples(Split::val) > 0;
  while (state_.step < max_steps_ && !stale()) {
    const StepReport report = step();
    state_.seconds = seconds_now() - start;
    if ((!report.finite && !report.skipped) || state_.skipped_in_a_row >= kMaxSkippedInARow) {
      record_divergence(sinks, report, result);
      break;
    }
    if (due(log_.every) || state_.step == 1 || state_.step == max_steps_) record_step(sinks, report);
    const bool best =
        has_val && (due(eval_.every) || state_.step == max_steps_) && evaluate_and_record(sinks);
    if (on_step) on_step(state_.step);
    if (signal_received()) result.reason = "interrupted", result.signal = signal_received();
    if (stale()) result.reason = "early_stop", result.signal = 0;
    const bool last = result.reason != "max_steps" || state_.step == max_steps_;
    if (best || last || due(checkpoint_.every > 0 ? checkpoint_.every : eval_.every)) {
      if (!finite_parameters()) {  // the checkpoints so far are worth more than this one
        record_divergence(sinks, report, result);
        break;
      }
      sinks.flush();
      save(best);
    }
    if (last) break;
  }
  state_.seconds = seconds_now() - start;
  result.step = state_.step;
  result.best_step = state_.best_step;
  result.best_value = state_.best_value;
  return result;
}

void Trainer::record_step(MetricSinks& sinks, const StepReport& report) {
  const double mean = state_.window_count > 0 ? state_.window_loss / state_.window_count : report.loss;
  const double epoch = static_cast<double>(state_.step * train_.grad_accum_steps) /
                       static_cast<double>(sampler_->steps_per_epoch());
  record_.reset("train").add("step", state_.step).add("epoch", static_cast<float>(epoch));
  record_.add("loss", static_cast<float>(mean)).add("lr", static_cast<float>(report.lr));
  record_.add("grad_norm", static_cast<float>(report.grad_norm)).add("tokens", state_.tokens);
  if (report.skipped) record_.add("skipped", state_.skipped);
  record_.add("tokens_per_s", static_cast<float>(std::round(static_cast<double>(state_.tokens) /
                                                            std::max(1e-9, state_.seconds))));
  record_.add("step_ms", static_cast<float>(1e3 * state_.seconds /
                                            static_cast<double>(std::max<std::int64_t>(1, state_.step))));
  record_.add("time_s", static_cast<float>(state_.seconds));
  sinks.write(record_);
  state_.window_loss = state_.window_count = 0;
  state_.window_tokens = 0;
}

bool Trainer::evaluate_and_record(MetricSinks& sinks) {
  const Metrics metrics =
      evaluate(*experiment_.task, *experiment_.model, Split::val, eval_batch_size_, eval_.samples);
  const double value = metrics.value(eval_.metric);
  const bool better = eval_.higher_is_better() ? value > state_.best_value : value < state_.best_value;
  const bool best = std::isfinite(value) && (state_.best_step < 0 || better);
  if (best) {
    state_.best_step = state_.step;
    state_.best_value = value;
    state_.stale_evals = 0;
  } else {
    state_.stale_evals++;
  }
  record_.reset("eval").add("split", "val").add("step", state_.step);
  for (auto& [name, v] : metrics.values()) record_.add(name, static_cast<float>(v));
  if (best) record_.add("best", true);
  sinks.write(record_);
  return best;
}

std::size_t Trainer::memory_estimate() const {
  const std::size_t element = size_of(experiment_.parameters->dtype());
  const std::size_t parameters = static_cast<std::size_t>(experiment_.parameters->count()) * element;
  return parameters * (1 + shards_.size()) + optimizer_->bytes();
}

}  // namespace qkv
