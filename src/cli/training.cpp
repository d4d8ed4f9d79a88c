#include "qkv/cli/training.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/log/jsonl.h"
#include "qkv/log/train_log.h"
#include "qkv/train/check.h"
#include "qkv/train/checkpoint.h"
#include "qkv/train/evaluate.h"
#include "qkv/train/expect.h"
#include "qkv/train/run_dir.h"
#include "qkv/train/tensorboard_run.h"
#include "qkv/train/trainer.h"
#include "qkv/version.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

std::string stem(const std::string& path) {
  return fs::path(path).stem().string();
}

Record start_record(Experiment& e, const Trainer& trainer, const RunDir& run, bool resumed) {
  Record r("start");
  r.add("version", kVersion).add("name", fs::path(run.path()).filename().string());
  r.add("task", e.config.section("task").type("wsd"))
      .add("model", e.config.section("model").type("encoder-classifier"));
  r.add("parameters", e.parameters->count());
  for (Split split : {Split::train, Split::val, Split::test})
    r.add(std::string(name_of(split)) + "_examples", e.task->examples(split));
  for (auto& [name, value] : e.task->facts()) r.add(name, static_cast<float>(value));
  r.add("vocab_size", e.task->shape().vocab_size).add("max_steps", trainer.max_steps());
  r.add("batch_size", trainer.batch_size()).add("optimizer", e.config.section("optimizer").type("adamw"));
  r.add("metric", trainer.eval_config().metric).add("seed", e.run.seed).add("dtype", e.run.dtype);
  r.add("threads", pool().size()).add("shards", trainer.shards()).add("run_dir", run.path());
  r.add("memory_bytes", static_cast<std::int64_t>(trainer.memory_estimate()));
  if (resumed) r.add("resumed_from", trainer.state().step);
  return r;
}

// Metrics of the best checkpoint (else of the last) on validation and test split.
Json final_metrics(Experiment& e, const Trainer& trainer, const std::string& run, MetricSinks& sinks) {
  const std::string folder = find_checkpoint(run, "best");
  const Checkpoint best = read_checkpoint(folder);
  e.parameters->load(best.weights, folder + "/model.safetensors");
  Json result = {{"step", best.state.at("step")}};
  for (Split split : {Split::val, Split::test}) {
    if (e.task->examples(split) == 0 || (split == Split::test && !trainer.eval_config().test)) continue;
    const Metrics metrics = evaluate(*e.task, *e.model, split, 128);
    result[name_of(split)] = metrics.json();
    if (split == Split::val) continue;
    Record r("eval");
    r.add("split", "test").add("step", best.state.at("step").get<std::int64_t>());
    for (auto& [name, value] : metrics.values()) r.add(name, static_cast<float>(value));
    sinks.write(r);
  }
  return result;
}

[[noreturn]] void fail_diverged(const TrainResult& result, const Trainer& trainer, const std::string& run) {
  const auto kept = list_checkpoints(run);
  const bool skips = trainer.config().on_nonfinite == "skip";
  fail(
      Fault::diverged,
      "train: loss, gradients and parameters must stay finite; got {} at step {} (a lower optimizer.lr{} may "
      "help; {}; qkv why {} {} tells more)",
      result.fault, result.failed_step, skips ? "" : ", or train.on_nonfinite = \"skip\",",
      kept.empty() ? "there is no checkpoint yet"
                   : fmt::format("the checkpoint of step {} is kept", kept.back().first),
      run, result.failed_step);
}

// How a run begins.
struct Start {
  bool resume = false, check_expect = false;
  std::vector<std::string> changes;  ///< of the config, told in the log
  std::string config;                ///< new config.resolved.toml of a resumed run, if it changes
};

int run_trainer(Experiment& e, Trainer& trainer, RunDir& run, const Start& start) {
  console().attach_file(run.file("train.log"));
  const bool resumed = start.resume && trainer.resume();
  if (start.resume && !resumed) trainer.warm_start();
  if (start.resume) truncate_after(run.file("metrics.jsonl"), trainer.state().step);
  for (const std::string& change : start.changes) console().info("{}", change);
  if (!start.config.empty()) write_file_atomic(run.file("config.resolved.toml"), start.config);
  if (start.resume) {
    // Of the run so far; their checksums will not be those of the new ones.
    for (const char* old : {"result.json", "projector_config.pbtxt", "projector"})
      fs::remove_all(run.file(old));
    write_run_checksums(run.path());
  }
  MetricSinks sinks;
  auto terminal = std::make_unique<ConsoleSink>();
  ConsoleSink* bar = terminal.get();
  sinks.add(std::make_unique<JsonlSink>(run.file("metrics.jsonl")));
  sinks.add(std::move(terminal));
  if (trainer.log_config().tensorboard)
    sinks.add(std::make_unique<TensorboardSink>(
        run.path(), tensorboard_run(e, run.path(), resumed ? trainer.state().step : -1)));
  sinks.write(start_record(e, trainer, run, resumed));
  watch_signals();
  const TrainResult result = trainer.train(sinks, [&](std::int64_t step) { bar->step(step); });
  const bool whole = result.reason == "max_steps" || result.reason == "early_stop";
  Json metrics;
  if (whole) metrics = final_metrics(e, trainer, run.path(), sinks);
  Record end("end");
  end.add("reason", result.reason)
      .add("step", result.step)
      .add("time_s", static_cast<float>(trainer.state().seconds));
  end.add("tokens", trainer.state().tokens);
  const TrainSeconds& s = trainer.seconds();
  for (auto [part, seconds] : {std::pair{"data_s", s.data},
                               {"forward_s", s.forward},
                               {"backward_s", s.backward},
                               {"reduce_s", s.reduce},
                               {"update_s", s.update},
                               {"eval_s", s.evaluate},
                               {"capture_s", s.capture},
                               {"checkpoint_s", s.checkpoint}})
    end.add(part, static_cast<float>(seconds));
  if (result.best_step >= 0)
    end.add("best_step", result.best_step)
        .add("best_value", static_cast<float>(result.best_value))
        .add("checkpoint", run.file("checkpoints/best"));
  sinks.write(end);
  sinks.flush();
  if (whole) {
    if (trainer.log_config().tensorboard) write_projector(run.path(), e);
    write_file_atomic(run.file("result.json"), dump_json(metrics, 2) + "\n");
    write_run_checksums(run.path());
  }
  console().detach_file();
  if (result.signal) return 128 + result.signal;
  if (result.reason == "diverged") fail_diverged(result, trainer, run.path());
  if (whole && start.check_expect) return check_expectations(e.config, metrics);
  return 0;
}

// Where each value of the config was given, and what it means; in the order of config.resolved.toml.
Json origins(const Section& config) {
  Json list = Json::array();
  for (const ResolvedKey& key : config.resolved())
    list.push_back({{"key", key.key}, {"value", key.value}, {"origin", key.origin}, {"help", key.help}});
  return list;
}

// config.resolved.toml comes last: a directory that has it can be resumed.
void write_run_files(const RunDir& run, const Experiment& e, const std::string& config_file,
                     const std::string& resolved, const std::vector<std::string>& command) {
  keep_data(run.path(), *e.task);
  keep_plugins(run.path());
  write_file_atomic(run.file("config.toml"), read_file(config_file, 1 << 24, Fault::usage));
  write_file_atomic(run.file("env.json"),
                    dump_json(environment(command, pool().size(), e.run.seed), 2) + "\n");
  write_file_atomic(run.file("origins.json"), dump_json(origins(e.config), 2) + "\n");
  write_file_atomic(run.file("config.resolved.toml"), resolved);
  write_run_checksums(run.path());
}

void check_name(const Experiment& e) {
  const std::string& name = e.run.name;
  if (name.find('/') != std::string::npos || name == "." || name == "..")
    e.config.section("run").report("name", fmt::format("must be the name of a directory; got '{}'", name));
}

bool lies_in(const std::string& file, const std::string& folder) {
  const fs::path path = fs::weakly_canonical(file), parent = fs::weakly_canonical(folder);
  return std::mismatch(parent.begin(), parent.end(), path.begin(), path.end()).first == parent.end();
}

// Emptying a run directory must not take away what the new run is made from.
void check_overwrite(const std::string& run, const Experiment& e, const Trainer& trainer) {
  std::vector<std::string> files = e.config.files();
  for (auto& [key, path] : e.task->files()) files.push_back(path);
  if (!trainer.config().init_from.empty()) files.push_back(trainer.config().init_from);
  for (const std::string& file : files)
    if (lies_in(file, run))
      fail(Fault::usage, "--overwrite: the run must not be made from files in {}, which it empties; got {}",
           run, file);
}

// The keys that a resumed run must not change, since its checkpoints would not fit.
void check_fixed(const ResolvedKey& key, const std::string& before) {
  for (const char* fixed : {"model.", "tokenizer.", "task.", "run.dtype", "optimizer.type"})
    if (starts_with(key.key, fixed))
      fail(Fault::usage, "resume: the architecture must stay as it was; got {} = {} (was {})", key.key,
           key.value, before);
}

using Values = std::map<std::string, std::string>;

// The run's own config. Another type of model or optimizer is refused before its keys are looked at.
Values own_config(const std::string& file, const std::vector<std::string>& sets) {
  const Section config = Section::load(file);
  Experiment e = build_experiment(config, true);
  skip_expectations(config, e.task->metrics());
  Trainer reads_the_rest(e);
  Values values;
  for (const ResolvedKey& key : config.resolved()) values[key.key] = key.value;
  const Section given = Section::parse("", "--set", sets);
  for (const char* table : {"task", "tokenizer", "model", "optimizer"}) {
    if (!given.section(table).has("type")) continue;
    const ResolvedKey key{fmt::format("{}.type", table), '"' + given.section(table).type("") + '"', "", ""};
    if (key.value != values[key.key]) check_fixed(key, values[key.key]);
  }
  return values;
}

// The keys that differ from the run's own config.
std::vector<std::string> changes(const Section& config, Values& own) {
  std::vector<std::string> result;
  for (const ResolvedKey& key : config.resolved()) {
    if (own[key.key] == key.value) continue;
    check_fixed(key, own[key.key]);
    result.push_back(fmt::format("{} = {} (was {})", key.key, key.value, own[key.key]));
  }
  return result;
}

// The config as the run directory keeps it, or (with "../../") a checkpoint. A data file that a resumed run
// has changed stays where it is.
std::string kept_config(const Experiment& e, const Start& start, const std::string& run = "") {
  auto places = data_places(*e.task, run);
  auto changed = [&](const auto& place) {
    return std::any_of(start.changes.begin(), start.changes.end(),
                       [&](const std::string& change) { return starts_with(change, place.first + " = "); });
  };
  places.erase(std::remove_if(places.begin(), places.end(), changed), places.end());
  for (auto& [key, value] : places) value = '"' + value + '"';
  places.emplace_back("plugins", plugin_places(run));
  return resolved_config(e.config, places);
}

}  // namespace

void check_config(const TrainingRequest& request) {
  const Section config = Section::load(request.config, request.sets);
  Experiment e = build_experiment(config);
  skip_expectations(config, e.task->metrics());
  check_name(e);
  Trainer reads_the_rest(e);
}

// Building stops at the first table with problems; the user is told of all of them.
static void throw_all_problems(const TrainingRequest& request) {
  const CheckReport report = check_config(Section::load(request.config, request.sets));
  if (!report.problems.empty()) throw Error(join(report.problems, "\n"), Fault::usage);
}

static int train_config(const TrainingRequest& request) {
  const Section config = Section::load(request.config, request.sets);
  Experiment e = build_experiment(config);
  skip_expectations(config, e.task->metrics());
  check_name(e);
  set_threads(static_cast<int>(e.run.threads));
  Trainer trainer(e);
  const std::string out_dir = request.parent.empty() ? e.run.out_dir : request.parent;
  const std::string name = !request.name.empty() ? request.name
                           : !e.run.name.empty() ? e.run.name
                                                 : stem(request.config);
  Start start;
  const std::string resolved = kept_config(e, start);
  if (request.overwrite) check_overwrite(out_dir + "/" + name, e, trainer);
  const std::string old = request.resume ? newest_run(out_dir, name, resolved, *e.task) : "";
  if (request.resume && old.empty())
    console().info("no interrupted run of '{}' with this configuration in {}: starting one", name, out_dir);
  if (old.empty()) trainer.warm_start();
  RunDir run = old.empty() ? RunDir::create(out_dir, name, request.overwrite) : RunDir::open(old);
  if (old.empty() && run.path() != out_dir + "/" + name)
    console().info("{}/{} exists: this run is called {} (--overwrite would replace the old one)", out_dir,
                   name, run.path());
  if (old.empty()) write_run_files(run, e, request.config, resolved, request.command);
  trainer.attach(run.path(), kept_config(e, start, "../../"));
  start.resume = !old.empty();
  start.check_expect = request.check_expect;
  return run_trainer(e, trainer, run, start);
}

int train_run(const TrainingRequest& request) {
  try {
    return train_config(request);
  } catch (const Error& e) {
    if (e.fault() == Fault::usage) throw_all_problems(request);
    throw;
  }
}

int resume_run(const std::string& path, const std::vector<std::string>& sets) {
  const std::string file = config_of_run(path);
  RunDir run = RunDir::open(path);
  check_run_checksums(path);
  Values own;
  if (!sets.empty()) own = own_config(file, sets);
  const Section config = Section::load(file, sets);
  Experiment e = build_experiment(config);
  skip_expectations(config, e.task->metrics());
  set_threads(static_cast<int>(e.run.threads));
  Trainer trainer(e);
  Start start;
  start.resume = true;
  if (!sets.empty()) start.changes = changes(config, own);
  if (!start.changes.empty()) start.config = kept_config(e, start);
  trainer.attach(path, kept_config(e, start, "../../"));
  return run_trainer(e, trainer, run, start);
}

}  // namespace qkv
