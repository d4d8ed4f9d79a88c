#include "qkv/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/machine.h"
#include "model/encoder_decoder.h"
#include "ops/optimizer_kernels.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/train/evaluate.h"
#include "task/translation.h"
#include "tensor/symbolic_bytes.h"
#include "train/checkpoint.h"

namespace qkv {

// The lasting parts of a shard: reused every step, so that a step does not allocate.
struct Trainer::Shard {
  Batch batch;
  double loss = 0, count = 0;
  std::int64_t tokens = 0;
  double data_s = 0, forward_s = 0, backward_s = 0;
};

static double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace {

constexpr Index kMeasuredByCheck = 1000;  // a check draws no batch: it needs the mean length only

// Adds the seconds of its life.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), start_(seconds_now()) {}
  ~Stopwatch() { total_ += seconds_now() - start_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  double start_;
};

}  // namespace

Trainer::Trainer(Experiment& experiment) : experiment_(experiment) {
  const Section& config = experiment.config;
  Task& task = *experiment.task;
  const TrainingTables& tables = experiment.tables;
  train_ = tables.train, eval_ = tables.eval, checkpoint_ = tables.checkpoint, log_ = tables.log,
  inspect_ = tables.inspect;
  batch_size_ = tables.batches.batch_size, eval_batch_size_ = tables.batches.eval_batch_size;
  const bool by_tokens = tables.batches.by_tokens();
  ParameterStore& parameters = *experiment.parameters;
  // All data is read here, so that a fault in it is told before a run directory is made.
  for (Split split : {Split::val, Split::test}) task.examples(split);
  const Index n = task.examples(Split::train);
  if (n == 0) fail(Fault::data, "data.train: must hold examples; got none");
  SamplerOptions options;
  double total_length = 0;
  Index measured = n;
  if (!by_tokens && task.uniform_length()) measured = 1;
  if (!by_tokens && parameters.symbolic()) measured = std::min(n, kMeasuredByCheck);
  for (Index i = 0; i < measured; i++) {
    const Index length = task.length(Split::train, static_cast<int>(i));
    total_length += static_cast<double>(length);
    if ((tables.batches.buckets || by_tokens) && measured == n)
      options.lengths.push_back(static_cast<int>(length));
  }
  if (by_tokens) options.batch_tokens = batch_size_;
  const double mean_length = std::max(1.0, total_length / static_cast<double>(measured));
  const Index in_batch =
      by_tokens ? std::max<Index>(1, static_cast<Index>(static_cast<double>(batch_size_) / mean_length))
                : batch_size_;
  sampler_ =
      std::make_unique<Sampler>(n, batch_size_, static_cast<std::uint64_t>(experiment.run.seed), options);

  const std::int64_t per_epoch = sampler_->steps_per_epoch();
  max_steps_ = train_.max_epochs == 0
                   ? train_.max_steps
                   : (train_.max_epochs * per_epoch + train_.grad_accum_steps - 1) / train_.grad_accum_steps;
  if (eval_.every == 0) eval_.every = std::max<std::int64_t>(1, per_epoch / train_.grad_accum_steps);
  optimizer_ = make_optimizer(config.section("optimizer"), parameters);
  schedule_ = make_schedule(config.section("schedule"), optimizer_->lr(), max_steps_);
  choose_learner();
  check_metric();
  captures_ = std::make_unique<Captures>(experiment, inspect_, max_steps_);
  config.finish();

  const int shards = choose_shards(experiment.run.shards, std::min(in_batch, n), mean_length);
  parameters.freeze(train_.freeze);
  if (parameters.trainable_count() == 0)
    fail(Fault::usage, "train.freeze: must leave something to train; got everything");
  if (!parameters.symbolic()) chunks_ = chunks_of(parameters);
  gradients_.resize(static_cast<std::size_t>(shards));
  for (int s = 0; s < shards; s++) shards_.push_back(std::make_unique<Shard>());
  if (learner_) learner_->share(shards, *optimizer_->row_sharing());
}

// Where the optimizer has the model's rows learn in place, there is no gradient to add up or to clip.
void Trainer::choose_learner() {
  if (!optimizer_->row_sharing()) return;
  learner_ = dynamic_cast<RowLearner*>(experiment_.model.get());
  const Section train = experiment_.config.section("train");
  if (!learner_)
    experiment_.config.section("optimizer")
        .report("type", "must not be \"sparse-sgd\" with a model whose rows do not learn in place");
  if (train_.grad_clip_norm > 0)
    train.report("grad_clip_norm", "must be 0 with optimizer \"sparse-sgd\", which has a step per example");
  if (train_.grad_accum_steps > 1)
    train.report("grad_accum_steps", "must be 1 with optimizer \"sparse-sgd\", which has a step per example");
  if (!train_.freeze.empty())
    train.report("freeze", "must be empty with optimizer \"sparse-sgd\", whose model has all rows learn");
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
  collate(*experiment_.task, Split::val, &first, 1, nullptr, batch);
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

// The batch of a shard, and which examples are in it; without any, the batch stays as it is.
std::pair<const int*, Index> Trainer::collate_shard(int s, std::int64_t micro_step, Batch& batch) const {
  const std::int64_t n = static_cast<std::int64_t>(indices_.size()), parts = shards();
  const std::int64_t begin = n * s / parts, end = n * (s + 1) / parts;
  const std::pair<const int*, Index> examples{indices_.data() + begin, end - begin};
  if (begin == end) return examples;
  const Stream noise(static_cast<std::uint64_t>(experiment_.run.seed), "noise", micro_step, s);
  collate(*experiment_.task, Split::train, examples.first, examples.second, &noise, batch);
  return examples;
}

void Trainer::run_shard(int s, std::int64_t micro_step) {
  Shard& shard = *shards_[static_cast<std::size_t>(s)];
  const Task& task = *experiment_.task;
  const double start = seconds_now();
  if (collate_shard(s, micro_step, shard.batch).second == 0) return;
  const double collated = seconds_now();
  shard.data_s += collated - start;
  shard.tokens += task.tokens(shard.batch);
  if (learner_) {
    const RowLearner::Learned learned = learner_->learn(shard.batch, s, schedule_->rate(state_.step + 1));
    shard.loss += learned.loss;
    shard.count += learned.count;
    shard.forward_s += seconds_now() - collated;
    return;
  }
  Tape tape(Stream(static_cast<std::uint64_t>(experiment_.run.seed), "dropout", micro_step, s));
  Loss loss = task.loss(*experiment_.model, shard.batch);
  shard.loss += loss.sum.value().item();
  shard.count += loss.count;
  const double forwarded = seconds_now();
  tape.backward(loss.sum, gradients_[static_cast<std::size_t>(s)]);
  shard.forward_s += forwarded - collated;
  shard.backward_s += seconds_now() - forwarded;
}

void Trainer::forward_backward(std::int64_t micro_step) {
  const double start = seconds_now();
  for (auto& shard : shards_) shard->data_s = shard->forward_s = shard->backward_s = 0;
  sampler_->batch(micro_step, indices_);
  pool().run(shards(), [&](int shard, int) { run_shard(shard, micro_step); });
  // The wall clock in the proportion of what the workers were at.
  double data = 0, forward = 0, backward = 0;
  for (auto& shard : shards_)
    data += shard->data_s, forward += shard->forward_s, backward += shard->backward_s;
  const double wall = (seconds_now() - start) / std::max(1e-12, data + forward + backward);
  seconds_.data += data * wall, seconds_.forward += forward * wall, seconds_.backward += backward * wall;
}

// What the shards have learned joins the tables. The sum of squares of the change, per unit of the rate.
double Trainer::join_rows(double loss) {
  if (!std::isfinite(loss) && train_.on_nonfinite == OnNonfinite::stop)
    return loss;  // the tables stay as they were
  const double rate = schedule_->rate(state_.step + 1);
  return learner_->join() / (rate > 0 ? rate * rate : 1);
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
  double squares;
  {
    const Stopwatch watch(seconds_.reduce);
    squares =
        learner_ ? join_rows(report.loss) : reduce(gradients_, *experiment_.parameters, chunks_, scratch_);
  }
  if (state_.step == 0 && !learner_) check_all_have_gradients(gradients_[0], *experiment_.parameters);
  const double scale = report.count > 0 ? 1.0 / report.count : 0.0;
  report.grad_norm = std::sqrt(squares) * scale;
  gradient_scale_ = scale;
  report.lr = schedule_->rate(state_.step + 1);
  report.finite = std::isfinite(report.grad_norm) && std::isfinite(report.loss);
  if (!report.finite && train_.on_nonfinite == OnNonfinite::stop) return report;
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
  if (!learner_) {
    const Stopwatch watch(seconds_.update);
    optimizer_->update(*experiment_.parameters, gradients_[0], chunks_,
                       {state_.step, report.lr, scale * clip});
  }
  state_.tokens += report.tokens;
  state_.window_loss += loss;
  state_.window_count += report.count;
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

TrainResult Trainer::train(MetricSinks& sinks, const std::function<void(std::int64_t)>& on_step) {
  const double start = seconds_now() - state_.seconds;
  recorded_ = {state_.step, state_.tokens, state_.seconds};
  TrainResult result;
  result.reason = stale() ? "early_stop" : "max_steps";
  const bool has_val = experiment_.task->examples(Split::val) > 0;
  if (!run_.empty()) captures_->open(run_, state_.step);
  if (state_.step == 0) capture(max_steps_ == 0);
  if (max_steps_ == 0 && last_saved_ < 0) {  // the weights as they are, e.g. of train.init_from
    if (!finite_parameters())
      fail(Fault::data, "train: the weights must be finite; got a NaN or an infinity");
    const bool best = has_val && evaluate_and_record(sinks);
    sinks.flush();
    save(best);
  }
  while (state_.step < max_steps_ && !stale()) {
    const StepReport report = step();
    state_.seconds = seconds_now() - start;
    if ((!report.finite && !report.skipped) || state_.skipped_in_a_row >= kMaxSkippedInARow) {
      diverge(sinks, report, result);
      break;
    }
    if (report.skipped) record_nonfinite(sinks, report, result);
    if (report.finite) record_spike(sinks, report);
    if (due(log_.every) || state_.step == 1 || state_.step == max_steps_) record_step(sinks, report);
    if (log_.tensorboard && report.finite && (due(log_.histograms) || state_.step == 1))
      record_histograms(sinks);
    const bool best =
        has_val && (due(eval_.every) || state_.step == max_steps_) && evaluate_and_record(sinks);
    if (on_step) on_step(state_.step);
    if (signal_received()) result.reason = "interrupted", result.signal = signal_received();
    if (stale()) result.reason = "early_stop", result.signal = 0;
    const bool last = result.reason != "max_steps" || state_.step == max_steps_;
    capture(last && result.reason != "interrupted");
    if (best || last || due(checkpoint_.every > 0 ? checkpoint_.every : eval_.every)) {
      if (!finite_parameters()) {  // the checkpoints so far are worth more than this one
        diverge(sinks, report, result);
        break;
      }
      const Stopwatch watch(seconds_.checkpoint);
      sinks.flush();
      save(best);
    }
    if (last && !nonfinite_eval_.empty() && result.reason != "interrupted") {
      result.reason = "diverged";
      result.failed_step = state_.step;
      result.fault = fmt::format("a validation {} that is not", nonfinite_eval_);
    }
    if (last) break;
  }
  state_.seconds = seconds_now() - start;
  result.step = state_.step;
  result.best_step = state_.best_step;
  result.best_value = state_.best_value;
  return result;
}

void Trainer::capture(bool last) {
  const Stopwatch watch(seconds_.capture);
  if (captures_->due(state_.step, last)) captures_->take(state_.step);
}

bool Trainer::evaluate_and_record(MetricSinks& sinks) {
  const Stopwatch watch(seconds_.evaluate);
  const auto tell = [] {  // that a signal came, while an evaluation goes on to its end
    signal_received();
    return false;
  };
  const Metrics metrics =
      evaluate(*experiment_.task, *experiment_.model, Split::val, eval_batch_size_, eval_.samples, 0, tell);
  const double value = metrics.value(eval_.metric);
  const std::vector<std::string> bad = metrics.nonfinite();
  nonfinite_eval_ = bad.empty() ? "" : bad.front();
  const bool better = eval_.higher_is_better() ? value > state_.best_value : value < state_.best_value;
  const bool best = bad.empty() && (state_.best_step < 0 || better);
  if (best) {
    state_.best_step = state_.step;
    state_.best_value = value;
    state_.stale_evals = 0;
  } else {
    state_.stale_evals++;
  }
  record_norms(sinks);
  record_.reset("eval").add("split", "val").add("step", state_.step);
  for (auto& [name, v] : metrics.values()) record_.add(name, static_cast<float>(v));
  if (eval_.train_examples > 0) {
    const Metrics seen = evaluate(*experiment_.task, *experiment_.model, Split::train, eval_batch_size_,
                                  eval_.samples, eval_.train_examples, tell);
    for (auto& [name, v] : seen.values()) record_.add("train_" + name, static_cast<float>(v));
  }
  if (best) record_.add("best", true);
  sinks.write(record_);
  if (log_.tensorboard && bad.empty()) record_samples(sinks);
  return best;
}

// What a walk through the shapes of the longest examples makes: all of it, and its largest tensor.
static std::pair<double, double> walk(const Experiment& e, const Batch& batch) {
  const SymbolicBytes bytes;
  try {
    e.task->loss(*e.model, batch);
  } catch (const Error&) {  // code that computes with elements: counted up to there
  }
  return {bytes.count(), bytes.largest()};
}

// What a thread keeps while it writes translations: keys and values of the target and of the source in each
// layer, twice while the hypotheses of a beam change places.
static double cache_bytes(const Experiment& e) {
  const auto* task = dynamic_cast<const Translation*>(e.task.get());
  const auto* model = dynamic_cast<const EncoderDecoder*>(e.model.get());
  if (!task || !model) return 0;
  const Index per_token = 4 * model->config.stack.d_model * static_cast<Index>(model->decoder.layers.size());
  return 2.0 * static_cast<double>(task->rows_together() * model->config.max_seq_len * per_token) *
         static_cast<double>(size_of(e.parameters->dtype()));
}

std::size_t Trainer::memory_estimate() const {
  const ParameterStore& store = *experiment_.parameters;
  Task& task = *experiment_.task;
  const double shards = static_cast<double>(shards_.size());
  const double threads =
      static_cast<double>(experiment_.run.threads > 0 ? experiment_.run.threads : available_threads());
  const double parameters = static_cast<double>(store.count()) * static_cast<double>(size_of(store.dtype()));
  double bytes = parameters;  // a checkpoint being read
  bytes += parameters + static_cast<double>(optimizer_->bytes());
  if (!learner_) {
    Index examples = std::min(batch_size_, task.examples(Split::train));
    if (experiment_.tables.batches.by_tokens()) {
      const Batch one = task.Task::symbolic_batch(1);  // the longest
      Index length = 1;
      for (const auto& [name, tensor] : one) length = std::max(length, tensor.size());
      examples = std::max<Index>(1, batch_size_ / length);
    }
    bytes += parameters * shards + walk(experiment_, task.Task::symbolic_batch(examples)).first *
                                       std::min(shards, threads) / shards;
  }
  // An evaluation keeps nothing: about a block's input and two results of its inner width at a time.
  if (const Index n = task.examples(Split::val); n > 0) {
    constexpr Index kFinalBatch = 128;
    const Index examples = std::min(n, std::max<Index>(kFinalBatch, eval_batch_size_));
    const double batches = std::ceil(static_cast<double>(n) / static_cast<double>(examples));
    const double each = 2.5 * walk(experiment_, task.Task::symbolic_batch(examples)).second;
    bytes += (each + cache_bytes(experiment_)) * std::min(threads, batches);
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace qkv
