// The verbs train and resume: how a run begins.
#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/communicator.h"
#include "base/file.h"
#include "base/toml.h"
#include "cli/config_diff.h"
#include "cli/sweep.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

// Data that stays where it is may have changed there; that of the run directory has checksums.
void warn_of_changed_data(const std::string& run, const Experiment& e) {
  for (const DataPlace& data : data_places(*e.task, e.config)) {
    const std::string before = env_value(run, "checksum of " + data.key);
    if (!before.empty() && before != content_checksum(data.source))
      console().warn("{}: {} is not the data that the run started with", data.key, data.source);
  }
}

bool lies_in(const std::string& file, const std::string& folder) {
  std::error_code error;  // a file that cannot be found lies nowhere
  const fs::path path = fs::weakly_canonical(file, error), parent = fs::weakly_canonical(folder, error);
  return std::mismatch(parent.begin(), parent.end(), path.begin(), path.end()).first == parent.end();
}

// Emptying a run directory must not take away what the new run is made from.
void check_overwrite(const std::string& run, const Experiment& e, const std::string& init_from) {
  std::vector<std::string> files = e.config.files();
  for (auto& [key, path] : data_files(*e.task, e.config)) files.push_back(path);
  if (!init_from.empty()) files.push_back(init_from);
  for (const std::string& file : files)
    if (lies_in(file, run))
      fail(Fault::usage, "--overwrite: the run must not be made from files in {}, which it empties; got {}",
           run, file);
}

// The keys that a resumed run must not change, since its checkpoints would not fit.
void check_fixed(const std::string& key, const std::string& value, const std::string& before) {
  for (const char* fixed :
       {"model.*", "tokenizer.*", "task.*", "run.dtype", "optimizer.type", "optimizer.groups*.type",
        "optimizer.groups*.match", "optimizer.groups*.ndim", "train.lora.*", "train.init_except"})
    if (matches(fixed, key))
      fail(Fault::usage, "resume: the architecture must stay as it was; got {} = {} (was {})", key, value,
           before);
  if (key == "train.ema_decay" && (value == "0.0") != (before == "0.0"))
    fail(Fault::usage, "resume: {} must stay 0, or above 0; got {} (was {})", key, value, before);
  for (const char* fixed : {"run.name", "run.out_dir", "train.init_from"})
    if (key == fixed)
      fail(Fault::usage, "resume: {} has no effect on an existing run and must stay; got {} (was {})", key,
           value, before);
}

// The run's own config. Another type of model or optimizer is refused before its keys are looked at.
std::vector<ResolvedKey> own_config(const std::string& file, const std::vector<std::string>& sets) {
  const Section own = Section::load(file), given = Section::load(file, sets);
  Experiment e = build_experiment(own, true);
  finish_config(e);
  for (const std::string table : {"task", "tokenizer", "model", "optimizer"}) {
    const auto type = given.section(table).given<std::string>("type"),
               before = own.section(table).given<std::string>("type");
    if (type && type != before)
      check_fixed(table + ".type", toml_string(*type), toml_string(before.value_or("")));
  }
  return own.resolved();
}

// The keys that differ from the run's own config.
std::vector<std::string> changes(const Section& config, const std::vector<ResolvedKey>& own) {
  std::vector<std::string> result;
  const std::vector<ResolvedKey> keys = config.resolved();
  for (const KeyDifference& one : differences(keys, own)) {
    if (!one.a) continue;
    const std::string before = one.b ? one.b->value : "";
    check_fixed(one.key, one.a->value, before);
    result.push_back(fmt::format("{} = {} (was {})", one.key, one.a->value, before));
  }
  return result;
}

}  // namespace

std::vector<std::string> changed_keys(const std::string& run, const std::vector<std::string>& sets) {
  const std::string file = config_of_run(run);
  const std::vector<ResolvedKey> own = own_config(file, sets);
  Experiment e = build_experiment(Section::load(file, sets), true);
  prepare_training(e);
  return changes(e.config, own);
}

std::string kept_config(const Experiment& e, const std::string& way, const std::string& resumed) {
  std::vector<std::pair<std::string, std::string>> replaced{{"plugins", plugin_places(way)}};
  for (const DataPlace& data : data_places(*e.task, e.config)) {
    std::string place = (data.copied ? way : "") + data.place;
    const fs::path file = fs::absolute(data.source).lexically_normal();
    if (!resumed.empty())
      place = lies_in(file, resumed)
                  ? way + file.lexically_relative(fs::absolute(resumed).lexically_normal()).string()
                  : file.string();
    const std::string text = toml_string(place);
    std::string& last = replaced.back().second;
    if (data.list() == data.key)
      replaced.emplace_back(data.key, text);
    else if (data.list() == replaced.back().first)  // one more of the list
      last.insert(last.size() - 1, ", " + text);
    else
      replaced.emplace_back(data.list(), "[" + text + "]");
  }
  return resolved_config(e.config, replaced);
}

std::string run_name(const RunConfig& run, const std::string& config_file) {
  return run.name.empty() ? fs::path(config_file).stem().string() : run.name;
}

CheckReport check_request(const TrainingRequest& request) {
  CheckReport report = check_config(request.load());
  const std::string run = request.place();
  if (request.parent.empty() || request.overwrite || !exists(run + "/config.resolved.toml")) {
    if (!report.problems.empty()) throw Error(join(report.problems, "\n"), Fault::usage);
    if (!report.data_problems.empty()) throw Error(join(report.data_problems, "\n"), Fault::data);
    return report;
  }
  const Section config = request.load();  // an old run need not find again what it began with
  Experiment e = build_experiment(config, true);
  finish_config(e);
  const std::string difference = difference_of_run(run, config, kept_config(e, ""), *e.task);
  if (!difference.empty())
    fail(Fault::usage,
         "{}: an existing run must have the config and data of this command; got {} (--overwrite trains all "
         "again, another run.name keeps both)",
         run, difference);
  return report;
}

static void use_threads(const RunConfig& run) {
  set_threads(run.threads > 0 ? static_cast<int>(run.threads) : communicator().threads);
}

static int train_config(const TrainingRequest& request) {
  const Section config = request.load();
  Experiment e = build_experiment(config);
  use_threads(e.run);
  Training training = prepare_training(e);
  communicator().agree();
  if (communicator().rank() > 0) return assist_training(training);
  for (const std::string& note : config.notes()) console().info("{}", note);
  const std::string out_dir = request.parent.empty() ? e.run.out_dir : request.parent;
  const std::string name = request.name.empty() ? run_name(e.run, request.config) : request.name;
  Start start;
  start.check_expect = request.check_expect;
  start.watcher = request.watcher;
  const std::string resolved = kept_config(e, "");
  if (request.overwrite) check_overwrite(out_dir + "/" + name, e, training.tables.train.init_from);
  const std::string old = request.resume ? newest_run(out_dir, name, config, resolved, *e.task) : "";
  start.resume = !old.empty();
  if (request.resume && !start.resume)
    console().info("no interrupted run of '{}' with this configuration in {}: starting a new one", name,
                   out_dir);
  if (!start.resume)
    if (std::string taken = warm_start(training); !taken.empty()) start.changes.push_back(std::move(taken));
  RunDir run = start.resume ? RunDir::open(old) : RunDir::create(out_dir, name, request.overwrite);
  if (start.resume) {
    start.config = resolved;  // of which threads and logs may differ
  } else {
    if (run.path() != out_dir + "/" + name)
      console().info("{}/{} exists and is kept: this run is called {} (--overwrite replaces the old one)",
                     out_dir, name, run.path());
    const bool named = request.text.empty();
    write_run_files(run, e, named ? read_file_or_pipe(request.config, 1 << 24, Fault::usage) : request.text,
                    resolved, request.command);
  }
  training.files.run = run.path(), training.files.resolved = kept_config(e, "../../");
  training.files.pause_at = request.pause_at;
  return run_training(training, run, start);
}

int train_run(const TrainingRequest& request) {
  try {
    return train_config(request);
  } catch (const Error& e) {
    // Building stops at the first table with problems; the user sees all of them.
    if (e.fault() != Fault::usage) throw;
    const CheckReport report = check_config(request.load());
    if (report.problems.empty()) throw;
    throw Error(join(report.problems, "\n"), Fault::usage);
  }
}

int resume_run(const std::string& path, const std::vector<std::string>& sets, const Watcher* watcher) {
  const std::string file = config_of_run(path);
  std::optional<RunDir> run;
  if (communicator().rank() == 0) run = RunDir::open(path), check_run_checksums(run->path());
  std::vector<ResolvedKey> own;
  if (!sets.empty()) own = own_config(file, sets);
  const Section config = Section::load(file, sets);
  Experiment e = build_experiment(config);
  use_threads(e.run);
  Training training = prepare_training(e);
  communicator().agree();
  if (!run) return assist_training(training);
  Start start;
  start.resume = true;
  start.watcher = watcher;
  if (const std::string change = changed_arithmetic(path); !change.empty())
    console().info(
        "matrix products are computed differently than at the start of the run: {}; last bits may differ",
        change);
  warn_of_changed_data(run->path(), e);
  if (!sets.empty()) start.changes = changes(config, own);
  if (!start.changes.empty()) start.config = kept_config(e, "", run->path());
  training.files.run = run->path(), training.files.resolved = kept_config(e, "../../", run->path());
  return run_training(training, *run, start);
}

namespace {

struct Train : Verb {
  void setup(Options& options) override {
    TrainingRequest& request = many.request;
    options.add("config", &request.config, "config file").required = true;
    options.add("--set", &request.sets, "override a key: --set train.max_steps=100");
    options.add("--resume", &request.resume, "continue the interrupted run of the same config");
    options.add("--overwrite", &request.overwrite, "empty the run directory of that name first");
    options.add("--check-expect", &request.check_expect, "exit with 1 when a bound of [expect] is missed");
    options.add("--seeds", &many.seeds, "train once per seed, in one directory").range = {1, 1000};
    options.add("--folds", &many.folds, "stratified cross-validation over the training data").range = {2,
                                                                                                       1000};
    options
        .add("--each", &many.grid,
             "train once for each value of a key: --each model.n_layer 1 2 4; repeat for all combinations")
        .label = "KEY VALUE...";
  }
  int run() override {
    TrainingRequest& request = many.request;
    request.command = command;
    if (many.grid.empty() && many.seeds == 1 && many.folds == 0) return train_run(request);
    if (!communicator().alone())
      fail(Fault::usage, "train: --each, --seeds and --folds must run in one process; got {} processes",
           communicator().size());
    return train_many(many);
  }
  std::string example() const override { return "qkv train configs/bank.toml --set train.max_epochs=5"; }

  ManyRuns many;
};

struct Resume : Verb {
  void setup(Options& options) override {
    options.add("run", &path, "run directory").required = true;
    options.add("--set", &sets, "override a key");
  }
  int run() override { return resume_run(path, sets); }
  std::string example() const override { return "qkv resume runs/bank --set train.max_epochs=30"; }

  std::string path;
  std::vector<std::string> sets;
};

QKV_REGISTER(Verb, "train", Train, "train a model, writing a run directory");
QKV_REGISTER(Verb, "resume", Resume, "continue an interrupted run from its directory");

}  // namespace
}  // namespace qkv
