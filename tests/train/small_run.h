// A small word-sense data set, and what tests need to train on it inside their own process.
#pragma once
#include <doctest/doctest.h>

#include <regex>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "has.h"
#include "log/jsonl.h"
#include "qkv/train/training.h"
#include "tensors.h"

namespace qkv::test {

/// `n` sentences about a bank whose sense follows from one cue word; a different set for each `seed`.
inline std::string sentences(int n, int seed) {
  const char* cues[2][4] = {{"cash", "loan", "account", "teller"}, {"water", "fish", "reeds", "boat"}};
  const char* begins[] = {"they saw the", "near a", "we went to the old", "she left her"};
  const char* tails[] = {"", " today", " in the rain", " before it got dark"};
  std::string text = "\n";
  for (int i = 0; i < n; i++) {
    const int k = i / 2 + 3 * seed, sense = i % 2;  // only the cue depends on the sense
    text += fmt::format("{}\t{} [bank] with {}{}\n", sense ? "river" : "money", begins[k % 4],
                        cues[sense][(k + k / 4) % 4], tails[(k / 3) % 4]);
  }
  return text;
}

/// train.tsv (44), val.tsv (12), test.tsv (10) and configs in a folder of their own.
struct SmallData {
  SmallData() {
    write_file_atomic(folder / "train.tsv", sentences(44, 0));
    write_file_atomic(folder / "val.tsv", sentences(12, 1));
    write_file_atomic(folder / "test.tsv", sentences(10, 2));
  }
  /// Writes a config with this [model] table.
  std::string config(const std::string& model, const std::string& name = "small") const {
    const std::string path = folder / (name + ".toml");
    write_file_atomic(path, R"(schema = 1
[run]
seed = 7
shards = 4
[data]
train = "train.tsv"
val = "val.tsv"
test = "test.tsv"
batch_size = 8
word_dropout = 0.1
[optimizer]
lr = 1e-2
[schedule]
type = "cosine"
warmup_steps = 2
[train]
max_steps = 12
[eval]
every = 4
[checkpoint]
keep_last = 100
[log]
every = 1
)" + model);
    return path;
  }
  std::string encoder() const {
    return config(
        "[model]\nn_layer = 1\nd_model = 16\nmax_seq_len = 12\ndropout = 0.1\n[model.attention]\nn_head = 2\n"
        "[model.ffn]\nd_ff = 16\n");
  }
  TemporaryFolder folder;
};

/// One run from its config to its files.
struct Session {
  explicit Session(const std::string& config_file, const std::vector<std::string>& sets = {})
      : config(Section::load(config_file, sets)),
        experiment(build_experiment(config)),
        training(prepare_training(experiment)) {}

  /// Trains, leaving checkpoints and metrics.jsonl in `run`.
  TrainResult train(const std::string& run, bool resume = false,
                    const std::function<void(std::int64_t)>& on_step = {}) {
    make_directories(run);
    training.files.run = run, training.files.resolved = config.dump(), training.files.last_saved = -1;
    if (resume) {
      qkv::resume(training);
      truncate_after(run + "/metrics.jsonl", training.state.step);
    }
    MetricSinks sinks;
    sinks.add(std::make_unique<JsonlSink>(run + "/metrics.jsonl"));
    sinks.write(Record("start"));
    return qkv::train(training, sinks, on_step);
  }
  /// The value of a parameter, copied.
  Tensor value(const std::string& name) const {
    for (const NamedTensor& own : experiment.parameters->named())
      if (own.name == name) return own.tensor.clone();
    FAIL("no parameter " << name);
    return {};
  }

  Section config;
  Experiment experiment;
  Training training;
};

struct Killed {};

/// Trains until the records of step `at` are written, but its checkpoint is not: what SIGKILL leaves.
inline void train_and_kill(const std::string& config, const std::vector<std::string>& sets,
                           const std::string& run, std::int64_t at) {
  Session session(config, sets);
  CHECK_THROWS_AS(session.train(run, false,
                                [&](std::int64_t step) {
                                  if (step == at) throw Killed();
                                }),
                  Killed);
}

/// metrics.jsonl without what depends on the clock.
inline std::string metrics_of(const std::string& run) {
  static const std::regex times(R"re(,"([a-z_]+_s|step_ms)":[-+.e0-9]+)re");
  return std::regex_replace(read_file(run + "/metrics.jsonl"), times, "");
}

/// state.json without the seconds.
inline std::string state_of(const std::string& run) {
  static const std::regex seconds(R"re("seconds": [-+.e0-9]+)re");
  return std::regex_replace(read_file(run + "/checkpoints/last/state.json"), seconds, "");
}

inline void check_equal_runs(const std::string& a, const std::string& b) {
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "tokenizer.json"}) {
    CAPTURE(file);
    CHECK(checksum_file(a + "/checkpoints/last/" + file) == checksum_file(b + "/checkpoints/last/" + file));
  }
  CHECK(metrics_of(a) == metrics_of(b));
  CHECK(state_of(a) == state_of(b));
  for (const char* link : {"last", "best"})
    CHECK(std::filesystem::read_symlink(a + "/checkpoints/" + link) ==
          std::filesystem::read_symlink(b + "/checkpoints/" + link));
}

/// The message of the Error that `f` throws, which must be of this fault.
template <class F>
std::string error_of(Fault fault, F f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.fault() == fault);
    return error.what();
  }
  FAIL_CHECK("no error");
  return "";
}

}  // namespace qkv::test
