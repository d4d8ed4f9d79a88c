// Training runs as the verbs start them: run directory, logs, sinks, final evaluation.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/training.h"
#include "train/check.h"
#include "train/run_dir.h"

namespace qkv {

/// How a program follows a run that it trains within its own process. Signals are then its own affair: see
/// `request_stop`.
struct Watcher {
  std::function<void(const Record&)> record;  ///< each record of the run, before the next step
  std::function<void()> step;                 ///< after each step
};

struct TrainingRequest {
  std::string config;             ///< config file
  std::string text = {};          ///< what the config says, where `config` is only its name
  std::vector<std::string> sets;  ///< --set
  std::vector<std::string> command;
  bool resume = false;  ///< continue the newest run of the same name and configuration
  bool overwrite = false;
  bool check_expect = false;
  std::string parent;         ///< of one of many runs (sweep.h): the directory of the runs, else empty
  std::string name;           ///< with `parent`: name of the run in it
  std::int64_t pause_at = 0;  ///< with `parent`: RunFiles::pause_at
  const Watcher* watcher = nullptr;

  Section load() const {
    return text.empty() ? Section::load(config, sets) : Section::parse(text, config, sets);
  }
  std::string place() const { return parent + "/" + name; }  ///< of one of many runs
};

/// The name of a run: that of the config, else that of its file.
std::string run_name(const RunConfig& run, const std::string& config_file);

/// The config as the run directory keeps it, or (with the way "../../" to it) a checkpoint: with the data
/// where it is copied to. The data of a run that goes on is its own copy, or what resume --set has named,
/// which stays where it is.
std::string kept_config(const Experiment& e, const std::string& way, const std::string& resumed = "");

/// How a run begins.
struct Start {
  bool resume = false, check_expect = false;
  std::vector<std::string> changes;  ///< of the config, reported in the log
  std::string config;                ///< new config.resolved.toml of a resumed run, if it changes
  const Watcher* watcher = nullptr;
};
/// Trains in `run`, writing to terminal, train.log, metrics.jsonl and event files; scores the best
/// checkpoint, and writes result.json. Returns the exit code.
int run_training(Training& t, RunDir& run, const Start& start);
/// The same in ranks other than 0: they compute, and write nothing.
int assist_training(Training& t);

/// Trains, and returns the exit code. Writes result.json with the metrics of the best checkpoint.
int train_run(const TrainingRequest& request);
/// Continues an interrupted run from its directory. Values in `sets` become part of its config.
int resume_run(const std::string& run, const std::vector<std::string>& sets,
               const Watcher* watcher = nullptr);
/// The keys of a run that `sets` change: "optimizer.lr = 0.01 (was 0.001)". A usage error where one of them
/// must stay, or a value does not fit; writes nothing.
std::vector<std::string> changed_keys(const std::string& run, const std::vector<std::string>& sets);
/// Throws what is wrong with a request's config and data, or, with `parent`, that its run is there and was
/// made from others; writes nothing.
CheckReport check_request(const TrainingRequest& request);

}  // namespace qkv
