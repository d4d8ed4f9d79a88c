// Several runs of one config: seeds and folds side by side, and settings of keys, some of which may be given
// up early; the verb sweep, which finds the best setting. A run that is finished is not trained again.
#include <algorithm>
#include <chrono>
#include <thread>

#include "base/communicator.h"
#include "base/file.h"
#include "base/machine.h"
#include "cli/answers.h"
#include "cli/side_by_side.h"
#include "cli/sweep.h"
#include "log/number_text.h"
#include "log/record_keys.h"
#include "log/run_log.h"
#include "qkv/base/threads.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

constexpr int kDiverged = 4;  // exit code

RunConfig run_config(const TrainingRequest& request) {
  auto run = request.load().section("run").read<RunConfig>();
  run.name = run_name(run, request.config);
  return run;
}

bool has_diverged(const std::string& place) {
  return exists(place + "/metrics.jsonl") && read_run_log(place).end.text(key::reason) == "diverged";
}

bool has_settings(const ManyRuns& many) {
  return !many.grid.empty() || !many.random.empty();
}

// Whether nothing of a run is left to be trained, or nothing up to its pause.
bool is_done(const TrainingRequest& run, const ManyRuns& many) {
  const std::string place = run.place();
  if (run.overwrite || !exists(place + "/config.resolved.toml")) return false;
  if (is_finished(place) || (has_settings(many) && has_diverged(place))) return true;
  const auto kept = list_checkpoints(place);
  return run.pause_at > 0 && !kept.empty() && kept.back().first >= run.pause_at;
}

int train_rest(TrainingRequest run) {
  const std::string place = run.place();
  if (!exists(place + "/config.resolved.toml")) run.overwrite = true;  // what a kill left of its beginning
  // A killed command takes its processes along, but later.
  for (int i = 0; i < 100 && is_training(place); i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return train_run(run);
}

// The metric on the validation data: of the best checkpoint, or so far; NaN where the run has diverged.
double score_of(const TrainingRequest& run, const Judge& judge) {
  const std::string place = run.place();
  if (has_diverged(place)) return NAN;
  if (run.pause_at == 0)
    return to_double(read_json(place + "/result.json").at("val").at(judge.metric), place);
  double best = NAN;
  const Curve curve = read_run_log(place).curve(judge.metric, "val");
  for (std::size_t i = 0; i < curve.x.size() && curve.x[i] <= static_cast<double>(run.pause_at); i++)
    if (std::isnan(best) || (judge.higher_is_better ? curve.y[i] > best : curve.y[i] < best))
      best = curve.y[i];
  return best;
}

// Two runs with half of the threads each make more steps than one with all, if the memory is there. A run
// whose config says how many threads it has keeps them.
int runs_at_a_time(const std::vector<Setting>& settings) {
  std::size_t memory = 0;
  for (const Setting& one : settings) memory = std::max(memory, one.check->memory_bytes);
  const auto threads = static_cast<int>(settings[0].check->config.section("run").read<RunConfig>().threads);
  const bool fit = 2 * std::max(1, threads) <= available_threads();
  return fit && 2 * memory <= available_memory() ? 2 : 1;
}

// Trains what is not done of their runs, and notes the worst exit code. False where not all could be trained;
// of settings that diverge the others go on.
bool train_all(const std::vector<Setting>& settings, const ManyRuns& many, const Judge& judge, int& worst) {
  std::size_t runs = 0;
  std::vector<const TrainingRequest*> open;
  for (const Setting& setting : settings) {
    runs += setting.runs.size();
    for (const TrainingRequest& run : setting.runs)
      if (!is_done(run, many)) open.push_back(&run);
  }
  const int jobs = many.jobs > 0 ? many.jobs : open.size() > 1 ? runs_at_a_time(settings) : 1;
  std::size_t done = runs - open.size();
  const auto ended = [&](std::size_t i, int code) {
    const bool lost = code == kDiverged && has_settings(many);
    const bool whole = code == 0 || (code == 1 && is_finished(open[i]->place()));  // 1: of --check-expect
    if (!lost) worst = std::max(worst, code);
    if (many.sweep && (lost || whole))
      console().info("run {} of {}  {}  {}", ++done, runs, open[i]->place(),
                     lost ? "diverged" : judge.metric + " " + metric_text(score_of(*open[i], judge)));
    return lost || whole;
  };
  bool all = true;
  const auto train = [&](std::size_t i) {
    if (jobs > 1) communicator().threads = std::max(1, available_threads() / jobs);
    return train_rest(*open[i]);
  };
  const int signal = side_by_side(open.size(), jobs, train,
                                  [&](std::size_t i, int code) { return all = ended(i, code) && all; });
  if (signal) worst = 128 + signal;
  return all && !signal;
}

// ---- what is to be trained

// A task that can cut its data has the key data.folds.
void check_folds(const TrainingRequest& request) {
  const CheckReport report = check_config(request.load());
  const auto keys = report.config.resolved();
  const bool has = std::any_of(keys.begin(), keys.end(), [](auto& one) { return one.key == "data.folds"; });
  if (report.problems.empty() && !has)  // problems are reported with the whole request
    fail(Fault::usage, "train: --folds must be for a task that can split its data; got '{}', which cannot",
         report.config.section("task").type(Task::kDefault));
}

// Removes the directory of an older request of the same name, and nothing else.
void remove_old(const std::string& parent) {
  for (const std::string& name : entries_of(parent))
    if (name != "summary.json" && name != "report.html" && !starts_with(name, "seed-"))
      fail(Fault::usage, "{}: only a directory of runs can be overwritten; got '{}' in it", parent, name);
  remove_folder(parent);
}

// Those of a request.
std::vector<TrainingRequest> runs_of_many(const TrainingRequest& request, int seeds, int folds) {
  const RunConfig run = run_config(request);
  if (folds > 0) check_folds(request);
  const std::string parent = fmt::format("{}/{}{}{}", request.parent.empty() ? run.out_dir : request.parent,
                                         request.name.empty() ? run.name : request.name,
                                         seeds > 1 ? fmt::format("-{}seeds", seeds) : "",
                                         folds > 0 ? fmt::format("-{}folds", folds) : "");
  std::vector<TrainingRequest> runs;
  for (std::int64_t seed = run.seed; seed < run.seed + seeds; seed++)
    for (int fold = 0; fold < std::max(1, folds); fold++) {
      TrainingRequest& one = runs.emplace_back(request);
      one.parent = parent;
      one.resume = true;
      one.name = fmt::format("seed-{}", seed) + (folds > 0 ? fmt::format("-fold-{}", fold) : "");
      one.sets.push_back(fmt::format("run.seed={}", seed));
      if (folds > 0)
        one.sets.insert(one.sets.end(),
                        {fmt::format("data.folds={}", folds), fmt::format("data.fold={}", fold)});
    }
  return runs;
}

// Gives each setting its runs. The first is checked; it stands for the others where no old run is in their
// place.
void plan(std::vector<Setting>& settings, const std::vector<KeyValues>& keys, const ManyRuns& many,
          const std::string& folder) {
  for (Setting& setting : settings) {
    TrainingRequest one = many.request;
    for (std::size_t k = 0; k < keys.size(); k++) one.sets.push_back(keys[k][0] + "=" + setting.values[k]);
    if (!keys.empty()) one.parent = folder, one.name = setting.name;
    one.resume = !one.overwrite;
    setting.runs = {one};
    if (many.seeds > 1 || many.folds > 1) setting.runs = runs_of_many(one, many.seeds, many.folds);
    setting.check = check_request(setting.runs[0]);
    for (const TrainingRequest& run : setting.runs)
      if (&run != &setting.runs[0] && exists(run.place())) check_request(run);
  }
}

// By what the settings of a sweep are compared.
Judge judge_of(const std::vector<Setting>& settings, const std::vector<KeyValues>& keys) {
  for (const KeyValues& key : keys)
    if (key[0] == "eval.metric" || key[0] == "eval.mode")
      fail(Fault::usage, "sweep: {} must be the same in all settings, since it says which is best", key[0]);
  for (const Setting& setting : settings)
    if (setting.check->eval_every == 0)
      fail(Fault::usage, "sweep: the config must have validation data, on which settings are compared");
  const auto eval = settings[0].check->config.section("eval").read<EvalConfig>();
  return {eval.metric, eval.higher_is_better()};
}

// All runs of a setting stop where it has made 1 / share of its steps and is evaluated.
void set_pause(Setting& setting, double share) {
  const std::int64_t whole = setting.check->steps;
  const double steps = std::max(1.0, static_cast<double>(whole) / share);
  const auto every = static_cast<double>(setting.check->eval_every);
  if (share > 1 && every > steps)
    fail(Fault::usage,
         "sweep: with --halving, settings must be evaluated within the first {:.0f} of their {} steps; got "
         "eval.every = {}",
         steps, whole, setting.check->eval_every);
  setting.reached = share > 1 ? static_cast<std::int64_t>(std::ceil(steps / every) * every) : whole;
  for (TrainingRequest& one : setting.runs) one.pause_at = share > 1 ? setting.reached : 0;
}

// Trains all settings, and puts those of a sweep in order. With halving, all train for a share of their
// steps; the better ones, one in `halving`, go on for so many times as long; and so on until one is left,
// which is trained whole (successive halving: Jamieson and Talwalkar 2016). False as of `train_all`.
bool train_settings(std::vector<Setting>& settings, const ManyRuns& many, const Judge& judge, int& worst) {
  const auto rate = static_cast<std::size_t>(many.halving);
  double share = 1;
  for (std::size_t n = settings.size(); rate > 0 && n > 1; n = (n + rate - 1) / rate)
    share *= static_cast<double>(rate);
  std::vector<Setting> given_up;
  for (;; share /= static_cast<double>(rate)) {
    if (rate > 0)
      for (Setting& setting : settings) set_pause(setting, share);
    for (const Setting& setting : settings)
      if (setting.runs[0].overwrite && (many.seeds > 1 || many.folds > 1)) remove_old(setting.runs[0].parent);
    if (!train_all(settings, many, judge, worst)) return false;
    for (Setting& setting : settings) {
      setting.scores.clear();
      for (TrainingRequest& one : setting.runs) {
        one.overwrite = false, one.resume = true;
        setting.diverged = setting.diverged || (has_settings(many) && has_diverged(one.place()));
        if (many.sweep) setting.scores.push_back(score_of(one, judge));
      }
      if (many.sweep) spread_scores(setting);
    }
    if (!many.sweep) return true;
    std::stable_sort(settings.begin(), settings.end(),
                     [&](const Setting& a, const Setting& b) { return judge.better(a, b); });
    if (share == 1) break;
    const auto rest = settings.begin() + static_cast<std::ptrdiff_t>((settings.size() + rate - 1) / rate);
    given_up.insert(given_up.begin(), rest, settings.end());
    settings.erase(rest, settings.end());
  }
  settings.insert(settings.end(), given_up.begin(), given_up.end());
  return true;
}

}  // namespace

int train_many(const ManyRuns& many) {
  if (many.jobs != 1) set_threads(1);  // a process with threads could start no others
  const RunConfig run = run_config(many.request);
  const std::string folder = fmt::format("{}/{}-{}", run.out_dir, run.name, many.sweep ? "sweep" : "each");
  std::vector<KeyValues> keys;
  std::vector<Setting> settings = settings_of(many, static_cast<std::uint64_t>(run.seed), keys);
  plan(settings, keys, many, folder);
  const Judge judge = many.sweep ? judge_of(settings, keys) : Judge();
  int worst = 0;
  if (!train_settings(settings, many, judge, worst)) return worst;
  const auto lost = static_cast<std::size_t>(
      std::count_if(settings.begin(), settings.end(), [](auto& setting) { return setting.diverged; }));
  if (lost > 0) console().warn("{} of {} settings diverged", lost, settings.size());
  summarize(many, keys, settings, judge, folder);
  if (many.sweep && !settings[0].diverged) {
    write_file_atomic(folder + "/best.toml", config_of_setting(many, keys, settings[0], judge, folder));
    write_file_atomic(folder + "/parallel.svg", parallel_coordinates(keys, settings, judge));
    if (keys.size() == 2) write_file_atomic(folder + "/heatmap.svg", heat_map(keys, settings, judge));
    console().info("best     {0}/best.toml, pictures  {0}/*.svg", folder);
  }
  return lost == settings.size() || (lost > 0 && !many.sweep) ? kDiverged : worst;
}

namespace {

struct Sweep : Verb {
  void setup(Options& options) override {
    many.sweep = true, many.jobs = 0;
    TrainingRequest& request = many.request;
    options.add("config", &request.config, "config file").required = true;
    options
        .add("--grid", &many.grid,
             "values of a key: --grid optimizer.lr 1e-3 1e-2; repeat for all combinations")
        .label = "KEY VALUE...";
    options
        .add("--random", &many.random,
             "N random settings of keys: --random 20 optimizer.lr 1e-4:1e-1:log model.n_layer 1:6")
        .label = "N KEY RANGE...";
    options.add("--seeds", &many.seeds, "train each setting once per seed").range = {1, 1000};
    options
        .add("--halving", &many.halving,
             "train all for a share of their steps, keep one in N, train those N times as long, and so on")
        .range = {2, 100};
    options.add("--jobs", &many.jobs, "runs at a time; 0 = one or two, whichever is faster").range = {0, 2};
    options.add("--set", &request.sets, "override a key in all runs");
    options.add("--overwrite", &request.overwrite, "train all again");
    options.add("--json", &many.json, "print one JSON object");
  }
  int run() override {
    if (many.grid.empty() && many.random.empty())
      fail(Fault::usage, "sweep: --grid or --random must be given, with a key and its values");
    many.request.command = command;
    return train_many(many);
  }
  std::string example() const override {
    return "qkv sweep configs/bank-bow.toml --grid optimizer.lr 1e-3 4e-3 1.6e-2 --seeds 3";
  }

  ManyRuns many;
};

QKV_REGISTER(Verb, "sweep", Sweep, "train each combination of values, and find the best");

}  // namespace
}  // namespace qkv
