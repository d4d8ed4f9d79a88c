#include "qkv/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/train/checkpoint.h"
#include "qkv/train/evaluate.h"

namespace qkv {

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
  config.section("train").read(train_);
  config.section("eval").read(eval_);
  config.section("checkpoint").read(checkpoint_);
  config.section("log").read(log_);
  Task& task = *experiment.task;
  ParameterStore& parameters = *experiment.parameters;
  const Section data = config.section("data");
  batch_size_ = data.get("batch_size", std::int64_t{32}, "examples per batch", positive);
  eval_batch_size_ =
      data.get("eval_batch_size", std::int64_t{128}, "examples per evaluation batch", positive);
  const bool buckets = data.get("buckets", true, "batches of examples of similar length");

  const Index n = task.examples(Split::train);
  if (n == 0) fail(Fault::data, "data.train: must hold examples; got none");
  SamplerOptions options;
  double total_length = 0;
  for (Index i = 0; i < n; i++) {
    const Index length = task.length(Split::train, static_cast<int>(i));
    total_length += static_cast<double>(length);
    if (buckets) options.lengths.push_back(static_cast<int>(length));
  }
  sampler_ =
      std::make_unique<Sampler>(n, batch_size_, static_cast<std::uint64_t>(experiment.run.seed), options);
  const int shards =
      choose_shards(experiment.run.shards, std::min(batch_size_, n), total_length / static_cast<double>(n));

  const Section train = config.section("train");
  if ((train_.max_steps > 0) == (train_.max_epochs > 0))
    train.report("max_steps",
                 fmt::format("exactly one of max_steps and max_epochs must be set; got {} and {}",
                             train_.max_steps, train_.max_epochs));
  const std::int64_t per_epoch = sampler_->steps_per_epoch();
  max_steps_ = train_.max_steps > 0
                   ? train_.max_steps
                   : (train_.max_epochs * per_epoch + train_.grad_accum_steps - 1) / train_.grad_accum_steps;
  if (eval_.every == 0) eval_.every = std::max<std::int64_t>(1, per_epoch / train_.grad_accum_steps);
  optimizer_ = make_optimizer(config.section("optimizer"), parameters);
  schedule_ = make_schedule(config.section("schedule"), optimizer_->lr(), max_steps_);
  config.finish();

  parameters.freeze(train_.freeze);
  if (parameters.trainable_count() == 0)
    fail(Fault::usage, "train.freeze: must leave something to train; got everything");
  if (!train_.init_from.empty()) {
    const std::string& from = train_.init_from;
    const bool file = from.size() > 12 && from.compare(from.size() - 12, 12, ".safetensors") == 0;
    const int loaded = parameters.load(
        file ? read_safetensors(from) : read_checkpoint(find_checkpoint(from, "best")).weights,
        "train.init_from '" + from + "'", true);
    if (loaded == 0)
      fail(Fault::data, "train.init_from '{}': must hold tensors of this model; got none", from);
  }
  chunks_ = chunks_of(parameters);
  gradients_.resize(static_cast<std::size_t>(shards));
  for (int s = 0; s < shards; s++) shards_.push_back(std::make_unique<Shard>());
}

Trainer::~Trainer() = default;

std::int64_t Trainer::steps_per_epoch() const {
  return (sampler_->steps_per_epoch() + train_.grad_accum_steps - 1) / train_.grad_accum_steps;
}

void Trainer::attach(std::string run, std::string resolved) {
  run_ = std::move(run);
  resolved_ = std::move(resolved);
}

// ---- one step
// ------------------------------------------------------------------------------------------------------

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

// ---- the loop
// ------------------------------------------------------------------------------------------------------

bool Trainer::due(std::int64_t every) const {
  return every > 0 && state_.step % every == 0;
}

TrainResult Trainer::train(MetricSinks& sinks, const std::function<void(std::int64_t)>& on_step) {
  const double start = seconds_now() - state_.seconds;
  TrainResult result;
  result.reason = "max_steps";
  const bool has_val = experiment_.task->examples(Split::val) > 0;
  while (state_.step < max_steps_) {
    const StepReport report = step();
    state_.seconds = seconds_now() - start;
    if (!report.finite && !report.skipped) {
      sinks.write(record_.reset("nonfinite")
                      .add("step", state_.step + 1)
                      .add("loss", report.loss)
                      .add("grad_norm", report.grad_norm));
      result.reason = "diverged";
      break;
    }
    if (due(log_.every) || state_.step == 1 || state_.step == max_steps_) record_step(sinks, report);
    bool best = false;
    const bool evaluate = has_val && (due(eval_.every) || state_.step == max_steps_);
    if (evaluate) best = evaluate_and_record(sinks);
    if (on_step) on_step(state_.step);
    const bool stale = eval_.patience > 0 && state_.stale_evals >= eval_.patience;
    const bool save_now = checkpoint_.every > 0 ? due(checkpoint_.every) : due(eval_.every);
    if (signal_received()) result.reason = "interrupted", result.signal = signal_received();
    if (evaluate && stale) result.reason = "early_stop";
    const bool last = result.reason != "max_steps" || state_.step == max_steps_;
    if (save_now || best || last) save(best);
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
  const Metrics metrics = evaluate(*experiment_.task, *experiment_.model, Split::val, eval_batch_size_);
  const double value = metrics.value(eval_.metric);
  const bool best = state_.best_step < 0 ||
                    (eval_.higher_is_better() ? value > state_.best_value : value < state_.best_value);
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

// ---- checkpoints
// ---------------------------------------------------------------------------------------------------

void Trainer::save(bool best) {
  if (run_.empty() || last_saved_ == state_.step) return;
  const TrainState& s = state_;
  Json state = {{"version", 1},
                {"step", s.step},
                {"best_step", s.best_step},
                {"best_value", s.best_value},
                {"stale_evals", s.stale_evals},
                {"tokens", s.tokens},
                {"skipped", s.skipped},
                {"window_loss", s.window_loss},
                {"window_count", s.window_count},
                {"window_tokens", s.window_tokens},
                {"seconds", s.seconds},
                {"metric", eval_.metric},
                {"task", experiment_.task->state()}};
  CheckpointData data;
  data.step = s.step;
  data.weights = experiment_.parameters->named();
  data.optimizer = optimizer_->state(*experiment_.parameters);
  data.state = &state;
  data.tokenizer = experiment_.task->tokenizer();
  data.config = resolved_;
  write_checkpoint(run_, data, best);
  prune_checkpoints(run_, checkpoint_.keep_last, checkpoint_.keep_best);
  last_saved_ = s.step;
}

bool Trainer::resume() {
  auto all = list_checkpoints(run_);
  while (!all.empty() && !verify_checkpoint(all.back().second).empty()) all.pop_back();
  if (all.empty()) return false;
  const Checkpoint c = read_checkpoint(all.back().second, true);
  experiment_.parameters->load(c.weights, c.folder + "/model.safetensors");
  optimizer_->load(*experiment_.parameters, c.optimizer, c.folder + "/optimizer.safetensors");
  state_.step = c.state.at("step");
  state_.best_step = c.state.at("best_step");
  state_.best_value = c.state.at("best_value");
  state_.stale_evals = c.state.at("stale_evals");
  state_.tokens = c.state.at("tokens");
  state_.skipped = c.state.at("skipped");
  state_.window_loss = c.state.at("window_loss");
  state_.window_count = c.state.at("window_count");
  state_.window_tokens = c.state.at("window_tokens");
  state_.seconds = c.state.at("seconds");
  last_saved_ = state_.step;
  return true;
}

std::size_t Trainer::memory_estimate() const {
  const std::size_t element = size_of(experiment_.parameters->dtype());
  const std::size_t parameters = static_cast<std::size_t>(experiment_.parameters->count()) * element;
  return parameters * (1 + shards_.size()) + optimizer_->bytes();
}

}  // namespace qkv
