#include "train/run_logger.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "log/record_keys.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/train_step.h"

namespace qkv {

constexpr std::int64_t kSpikeWarmup = 50;
constexpr double kSpikeRate = 0.02;

// True if `value` is beyond the threshold; moves mean and variance on (West 1979, with decaying weights).
static bool beyond(double& mean, double& variance, std::int64_t steps, double value, double deviations,
                   double least_deviation) {
  const double threshold = mean + deviations * std::max(std::sqrt(variance), least_deviation);
  const bool spike = steps >= kSpikeWarmup && value > threshold;
  const double rate = std::max(kSpikeRate, 1.0 / static_cast<double>(steps + 1));
  const double difference = (spike ? threshold : value) - mean;
  mean += rate * difference;
  variance = (1 - rate) * (variance + rate * difference * difference);
  return spike;
}

Spike look_for_spike(SpikeState& s, double loss, double grad_norm, double deviations) {
  if (s.steps == 0) s.first_loss = std::abs(loss);
  Spike spike{false, false, s.loss_mean, std::exp(s.norm_mean)};
  spike.loss = beyond(s.loss_mean, s.loss_variance, s.steps, loss, deviations, 0.05 * s.first_loss);
  spike.gradient = beyond(s.norm_mean, s.norm_variance, s.steps, std::log(std::max(grad_norm, 1e-30)),
                          deviations, std::log(1.4));
  s.steps++;
  return spike;
}

RunLogger::RunLogger(Training& t, MetricSinks& sinks)
    : t_(t), sinks_(sinks), line_{t.state.step, t.state.tokens, t.state.seconds} {}

void RunLogger::step(const StepReport& report) {
  const LogConfig& c = t_.tables.log;
  const auto due = [&](std::int64_t every) {
    return t_.state.step == 1 || (every > 0 && t_.state.step % every == 0);
  };
  if (report.finite) spike(report);
  if (due(c.every) || t_.state.step == t_.max_steps()) line(report);
  if (c.tensorboard && report.finite && due(c.histograms)) histograms(report);
}

void RunLogger::spike(const StepReport& report) {
  const double deviations = t_.tables.train.spike;
  const Spike spike = look_for_spike(t_.state.spikes, report.loss, report.grad_norm, deviations);
  if (!spike || deviations == 0) return;
  Record record("spike", t_.state.step);
  record.add(key::loss, static_cast<float>(report.loss));
  record.add(key::usual_loss, static_cast<float>(spike.usual_loss));
  record.add(key::grad_norm, static_cast<float>(report.grad_norm));
  record.add(key::usual_grad_norm, static_cast<float>(spike.usual_grad_norm));
  sinks_.write(record);
}

void RunLogger::line(const StepReport& report) {
  TrainState& state = t_.state;
  const double mean = state.window_count > 0 ? state.window_loss / state.window_count : report.loss;
  const double epoch = static_cast<double>(state.step * t_.tables.train.grad_accum_steps) /
                       static_cast<double>(t_.batches->per_epoch());
  Record record("train", state.step);
  record.add(key::epoch, static_cast<float>(epoch));
  record.add(key::loss, static_cast<float>(mean)).add(key::lr, static_cast<float>(report.lr));
  record.add(key::grad_norm, static_cast<float>(report.grad_norm)).add(key::tokens, state.tokens);
  if (t_.extras.attention_loss) record.add(key::attention_loss, static_cast<float>(report.attention_loss));
  if (!report.finite) record.add(key::skipped, state.skipped);
  // Of the time since the last line.
  const double seconds = std::max(1e-9, state.seconds - line_.seconds);
  const auto steps = static_cast<double>(std::max<std::int64_t>(1, state.step - line_.step));
  const auto tokens = static_cast<double>(state.tokens - line_.tokens);
  record.add(key::tokens_per_s, static_cast<float>(std::round(tokens / seconds)));
  record.add(key::step_ms, static_cast<float>(1e3 * seconds / steps));
  record.add(key::time_s, static_cast<float>(state.seconds));
  sinks_.write(record);
  state.window_loss = state.window_count = 0;
  line_ = {state.step, state.tokens, state.seconds};
}

void RunLogger::nonfinite(const Diagnosis& d, const StepReport& report) {
  Record record("nonfinite", report.step);
  record.add(key::loss, report.loss).add(key::grad_norm, report.grad_norm).add(key::pass, d.pass);
  if (!d.source.op.empty()) record.add(key::op, d.source.op).add(key::layer, d.source.layer);
  if (!d.parameters.empty()) record.add(key::parameters, join(d.parameters, ", "));
  if (!d.examples.empty()) record.add(key::examples, d.example_list());
  record.add(key::where, d.where);
  for (std::size_t i = 0; i < d.inputs.size(); i++)
    record.add(key_of(key::input, std::to_string(i + 1)), d.inputs[i]);
  if (!report.finite && t_.skips()) record.add(key::skipped, t_.state.skipped);
  sinks_.write(record);
}

void RunLogger::evaluation(const Metrics& metrics, const Metrics& of_training, bool best) {
  Record record("eval");
  record.add(key::split, "val").add(key::step, t_.state.step);
  for (auto& [name, value] : metrics.values()) record.add(name, static_cast<float>(value));
  for (auto& [name, value] : of_training.values())
    record.add(key_of(key::of_training, name), static_cast<float>(value));
  if (best) record.add(key::best, true);
  sinks_.write(record);
}

void RunLogger::norms(const StepReport& report) {
  const ParameterStore& store = *t_.experiment.parameters;
  Record record("norms", t_.state.step);
  for (const NamedTensor& named : store.named())
    record.add(key_of(key::weight, named.name), static_cast<float>(std::sqrt(squares_of(named.tensor))));
  auto squares = report.squares.begin();
  store.each_part([&](int, const ParameterStore::Part& part) {
    if (squares == report.squares.end()) return;
    const double norm = std::sqrt(*squares++) * report.gradient_scale();
    if (!part.frozen) record.add(key_of(key::gradient, part.name), static_cast<float>(norm));
  });
  sinks_.write(record);
}

void RunLogger::circuits(const CircuitScores& scores) {
  if (std::isfinite(scores.loss)) sinks_.write(scores.record());
}

// How the values of each parameter are spread, and those of its gradient of this step before clipping.
void RunLogger::histograms(const StepReport& report) {
  const ParameterStore& store = *t_.experiment.parameters;
  auto write = [&](const std::string& tag, const Tensor& values, double factor) {
    std::vector<double> all;
    for (Index i = 0; i < values.size(); i++) all.push_back(factor * values.at(i));
    sinks_.histogram(tag, t_.state.step, histogram_of(std::move(all)));
  };
  store.each_part([&](int s, const ParameterStore::Part& part) {
    write(key_of(key::weight, part.name), part.of(store.slot(s).value), 1);
    if (!part.frozen && report.gradients && report.gradients->has_slot(s))
      write(key_of(key::gradient, part.name), part.of(report.gradients->of_slot(s)), report.gradient_scale());
  });
}

void RunLogger::samples() {
  const InspectConfig& c = t_.tables.inspect;
  const auto answer = [&](const std::string& text) -> std::string {
    try {
      const Task& task = *t_.experiment.task;
      return task.readable(task.predict(*t_.experiment.model, text));
    } catch (const Error& error) {
      return error.what();
    }
  };
  for (const std::string& text : c.samples)
    sinks_.write(
        Record("sample", t_.state.step).add(key::sample_text, text).add(key::sample_answer, answer(text)));
  if (!t_.tables.log.tensorboard) return;
  for (std::size_t i = 0; i < c.sentences.size(); i++)
    sinks_.text(fmt::format("samples/{}", i + 1), t_.state.step, answer(c.sentences[i]));
}

// ---- what TensorBoard gets of a run besides its records

constexpr const char* kCompared[] = {"model.",     "optimizer.", "schedule.",       "train.",
                                     "tokenizer.", "task.",      "data.batch_size", "run.seed"};

// A label in a TSV file of one column: on one line, and not empty.
static std::string label(const std::string& word) {
  std::string text = word;
  for (char& c : text)
    if (c == '\t' || c == '\n' || c == '\r') c = ' ';
  return text.empty() ? "(empty)" : text;
}

TensorboardSink::Run tensorboard_run(const Experiment& e, const std::string& run, std::int64_t resumed_from) {
  TensorboardSink::Run result;
  result.resumed_from = resumed_from;
  std::error_code error;
  result.name = std::filesystem::canonical(run, error).filename().string();
  for (const ResolvedKey& key : e.config.resolved()) {
    const bool wanted = std::any_of(std::begin(kCompared), std::end(kCompared),
                                    [&](const char* part) { return starts_with(key.key, part); });
    if (!wanted || key.value.empty() || key.value[0] == '[' || key.value[0] == '{') continue;
    const bool quoted = key.value[0] == '"' || key.value[0] == '\'';
    result.config.emplace_back(key.key, quoted ? key.value.substr(1, key.value.size() - 2) : key.value);
  }
  for (const std::string& metric : e.task->metrics())
    for (const char* split : {"val", "test"}) result.results.push_back(fmt::format("{}/{}", split, metric));
  return result;
}

void write_projector(const std::string& run, const Experiment& experiment) {
  constexpr Index kMost = 10000;
  const std::vector<std::string> words = experiment.task->vocabulary();
  const Tensor table = tensor_named("embed.weight", experiment.parameters->named());
  if (!table.defined() || table.rank() != 2 || table.dim(0) != static_cast<Index>(words.size())) return;
  const Index n = std::min(table.dim(0), kMost), d = table.dim(1);
  std::string vectors, labels;
  for (Index row = 0; row < n; row++) {
    for (Index i = 0; i < d; i++)
      fmt::format_to(std::back_inserter(vectors), "{}{:.6g}", i ? "\t" : "", table.at(row * d + i));
    vectors += '\n';
    labels += label(words[static_cast<std::size_t>(row)]) + "\n";
  }
  make_directories(run + "/projector");
  write_file_atomic(run + "/projector/vectors.tsv", vectors);
  write_file_atomic(run + "/projector/words.tsv", labels);
  write_file_atomic(
      run + "/projector_config.pbtxt",
      "embeddings {\n  tensor_name: \"embed.weight\"\n  tensor_path: \"projector/vectors.tsv\"\n"
      "  metadata_path: \"projector/words.tsv\"\n}\n");
}

}  // namespace qkv
