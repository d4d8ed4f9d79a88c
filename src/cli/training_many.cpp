// Several runs of one config: seeds and folds side by side, and one run for each value of a key. A run that
// is finished is not trained again.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "cli/answers.h"
#include "cli/training.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/task/metrics.h"
#include "train/check.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

// The runs of --seeds and --folds: of each seed its folds.
using SeedRuns = std::vector<std::vector<TrainingRequest>>;
// A key and its values, as --each has them.
using KeyValues = std::vector<std::string>;

RunConfig run_config(const TrainingRequest& request) {
  auto run = Section::load(request.config, request.sets).section("run").read<RunConfig>();
  run.name = run_name(run, request.config);
  return run;
}

// Trains a run unless it is finished. `scores`: those of its test split, else of validation.
int train_unfinished(TrainingRequest one, Json& scores) {
  const std::string place = one.parent + "/" + one.name;
  if (!exists(place + "/config.resolved.toml")) one.overwrite = true;  // what a kill left of its beginning
  const int code = !one.overwrite && is_finished(place) ? 0 : train_run(one);
  if (code > 1) return code;
  const Json result = read_json(place + "/result.json");
  scores = result.value(result.contains("test") ? "test" : "val", Json::object());
  return code;
}

void write_summary(const std::string& parent, const Json& summary, const Table& table) {
  write_file_atomic(parent + "/summary.json", dump_json(summary, 2) + "\n");
  console().print("{}", table.str(console().unicode()));
  console().info("summary  {}/summary.json", parent);
}

// ---- seeds and folds

// The confusion matrix that Metrics::json wrote.
Confusion confusion_of(const Json& metrics) {
  std::vector<std::string> labels;
  for (auto& [label, values] : metrics.at("classes").items()) labels.push_back(label);
  Confusion result(labels);
  const auto counts = metrics.at("confusion").get<std::vector<std::vector<long>>>();
  for (std::size_t g = 0; g < labels.size(); g++)
    for (std::size_t p = 0; p < labels.size(); p++)
      for (long i = 0; i < counts.at(g).at(p); i++) result.add(static_cast<int>(g), static_cast<int>(p));
  return result;
}

// The scalar metrics of one seed: those of its run, or pooled over its folds.
Json pooled(const std::vector<Json>& parts) {
  Json result = Json::object();
  for (auto& [name, value] : parts[0].items()) {
    if (!value.is_number()) continue;
    double sum = 0;
    for (const Json& part : parts) sum += to_double(part.at(name), name);
    result[name] = sum / static_cast<double>(parts.size());
  }
  if (!parts[0].contains("confusion")) return result;
  Confusion all;
  for (const Json& part : parts) all.merge(confusion_of(part));
  if (result.contains("accuracy")) result["accuracy"] = all.accuracy();
  if (result.contains("macro_f1")) result["macro_f1"] = all.macro_f1();
  return result;
}

Json statistics(const std::vector<double>& values) {
  const double n = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (double v : values) mean += v / n;
  for (double v : values) squares += (v - mean) * (v - mean);
  return {{"mean", mean}, {"sd", n > 1 ? std::sqrt(squares / (n - 1)) : 0.0}, {"values", values}};
}

// A task that can cut its data has the key data.folds.
void check_folds(const TrainingRequest& request) {
  const CheckReport report = check_config(Section::load(request.config, request.sets));
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

// ---- values of keys

// The last part of a path, or the value itself, as a name for a directory.
std::string name_of_value(const std::string& value) {
  std::string name = fs::path(value + "/").parent_path().filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  return name;
}

// One combination of values, and what came of it.
struct Setting {
  std::string name;                 // of its run: the names of the values
  std::vector<std::string> values;  // of the keys, in their order
  std::map<std::string, double> metrics = {};
  TrainingRequest request = {};
  SeedRuns runs = {};  // with seeds or folds
};

std::vector<Setting> combinations(const std::vector<KeyValues>& each) {
  std::vector<Setting> settings{{"", {}}};
  for (const KeyValues& one : each) {
    if (std::count_if(each.begin(), each.end(), [&](const KeyValues& other) { return other[0] == one[0]; }) >
        1)
      fail(Fault::usage, "--each: a key must be given once, with all its values; got '{}' twice", one[0]);
    std::map<std::string, std::string> names;
    for (std::size_t i = 1; i < one.size(); i++)
      if (const auto [same, fresh] = names.emplace(name_of_value(one[i]), one[i]);
          !fresh || same->first.empty())
        fail(Fault::usage, "--each: values must differ in their last part, which names their runs; got {}{}",
             fresh ? "" : in_quotes(same->second) + " and ", in_quotes(one[i]));
    std::vector<Setting> longer;
    for (const Setting& setting : settings)
      for (std::size_t i = 1; i < one.size(); i++) {
        longer.push_back(setting);
        longer.back().name += (setting.name.empty() ? "" : ",") + name_of_value(one[i]);
        longer.back().values.push_back(one[i]);
      }
    settings = std::move(longer);
  }
  return settings;
}

// Whether the values of a key are samples of one thing, whose results have a mean: data, folds or seeds.
bool are_samples(const KeyValues& each) {
  return each[0] == "run.seed" || each[0] == "data.fold" ||
         (starts_with(each[0], "data.") &&
          std::all_of(each.begin() + 1, each.end(), [](const std::string& value) { return exists(value); }));
}

// For each combination of the other values the mean over the samples, with "mean" in their place.
std::vector<Setting> means_of(const std::vector<KeyValues>& each, const std::vector<Setting>& settings) {
  std::vector<Setting> result;
  if (std::none_of(each.begin(), each.end(), are_samples)) return result;
  std::map<std::vector<std::string>, std::map<std::string, int>> counts;
  for (Setting one : settings) {
    for (std::size_t k = 0; k < each.size(); k++)
      if (are_samples(each[k])) one.values[k] = "mean";
    if (counts.try_emplace(one.values).second) result.push_back({"", one.values});
    const auto mean =
        std::find_if(result.begin(), result.end(), [&](auto& r) { return r.values == one.values; });
    for (auto& [metric, value] : one.metrics) mean->metrics[metric] += value, counts[one.values][metric]++;
  }
  for (Setting& one : result)
    for (auto& [metric, sum] : one.metrics) sum /= counts[one.values][metric];
  return result;
}

Table settings_table(const std::vector<KeyValues>& each, const std::vector<Setting>& settings) {
  std::vector<Column> columns;
  for (const KeyValues& one : each) columns.push_back({one[0], one[0]});
  for (auto& [metric, value] : settings[0].metrics) columns.push_back({metric, metric, "{:.4f}"});
  Json rows = Json::array();
  for (const Setting& setting : settings) {
    Json& row = rows.emplace_back(setting.metrics);
    for (std::size_t k = 0; k < each.size(); k++) {
      const std::string& value = setting.values[k];
      row[each[k][0]] = value.find('/') == std::string::npos ? value : name_of_value(value);
    }
  }
  return table_of(rows, columns);
}

// Those of a request. All are checked before any is trained.
SeedRuns runs_of_many(const TrainingRequest& request, int seeds, int folds) {
  const RunConfig run = run_config(request);
  if (folds > 0) check_folds(request);
  const std::string parent = fmt::format("{}/{}{}{}", request.parent.empty() ? run.out_dir : request.parent,
                                         request.name.empty() ? run.name : request.name,
                                         seeds > 1 ? fmt::format("-{}seeds", seeds) : "",
                                         folds > 0 ? fmt::format("-{}folds", folds) : "");
  SeedRuns runs(static_cast<std::size_t>(seeds));
  for (std::size_t s = 0; s < runs.size(); s++)
    for (int fold = 0; fold < std::max(1, folds); fold++) {
      TrainingRequest& one = runs[s].emplace_back(request);
      one.parent = parent;
      one.resume = true;
      const std::int64_t seed = run.seed + static_cast<std::int64_t>(s);
      one.name = fmt::format("seed-{}", seed) + (folds > 0 ? fmt::format("-fold-{}", fold) : "");
      one.sets.push_back(fmt::format("run.seed={}", seed));
      if (folds > 0)
        one.sets.insert(one.sets.end(),
                        {fmt::format("data.folds={}", folds), fmt::format("data.fold={}", fold)});
      // One part stands for all, where no old run is in its place.
      if ((s == 0 && fold == 0) || exists(parent + "/" + one.name)) check_config(one);
    }
  return runs;
}

int train_seeds(const TrainingRequest& request, const SeedRuns& runs, Json& metrics) {
  const std::string& parent = runs[0][0].parent;
  if (request.overwrite) remove_old(parent);
  make_directories(parent);
  Json values = Json::object();  // of each metric, one per seed
  int worst = 0;
  for (const std::vector<TrainingRequest>& folds : runs) {
    std::vector<Json> parts;
    for (const TrainingRequest& one : folds) {
      worst = std::max(worst, train_unfinished(one, parts.emplace_back()));
      if (worst > 1) return worst;
    }
    const Json of_seed = pooled(parts);
    for (auto& [name, value] : of_seed.items()) values[name].push_back(value);
  }
  const std::size_t folds = runs[0].size();
  Json summary = {{"config", request.config}, {"seeds", runs.size()}, {"folds", folds > 1 ? folds : 0}};
  metrics = Json::object();
  Json rows = Json::array();
  for (auto& [name, each] : values.items()) {
    const auto numbers = each.get<std::vector<double>>();
    rows.push_back(metrics[name] = statistics(numbers));
    rows.back().update({{"metric", name}, {"values", fmt::format("{:.4f}", fmt::join(numbers, "  "))}});
  }
  summary["metrics"] = metrics;
  const std::vector<Column> columns{
      {"metric", "metric"}, {"mean", "mean", "{:.4f}"}, {"sd", "sd", "{:.4f}"}, {"values", "values"}};
  write_summary(parent, summary, table_of(rows, columns));
  return worst;
}

int train_each(const TrainingRequest& request, const std::vector<KeyValues>& each, int seeds, int folds) {
  const RunConfig run = run_config(request);
  const std::string parent = fmt::format("{}/{}-each", run.out_dir, run.name);
  const bool many = seeds > 1 || folds > 1;
  std::vector<Setting> settings = combinations(each);
  for (Setting& setting : settings) {
    TrainingRequest& one = setting.request = request;
    for (std::size_t k = 0; k < each.size(); k++) one.sets.push_back(each[k][0] + "=" + setting.values[k]);
    one.parent = parent, one.name = setting.name;
    one.resume = !request.overwrite;
    if (many)
      setting.runs = runs_of_many(one, seeds, folds);
    else
      check_config(one);
  }
  Json summary = {{"config", request.config}, {"keys", Json::array()}, {"values", Json::object()}};
  if (each.size() == 1) summary["key"] = each[0][0];
  for (const KeyValues& one : each) summary["keys"].push_back(one[0]);
  int worst = 0;
  for (Setting& setting : settings) {
    Json scores;
    worst = std::max(worst, many ? train_seeds(setting.request, setting.runs, scores)
                                 : train_unfinished(setting.request, scores));
    if (worst > 1) return worst;
    for (auto& [name, value] : scores.items())
      if (many || value.is_number()) setting.metrics[name] = to_double(many ? value.at("mean") : value, name);
    summary["values"][setting.name] = setting.metrics;
    summary["settings"][setting.name] = setting.values;
  }
  for (const Setting& mean : means_of(each, settings)) {
    const bool all = std::all_of(each.begin(), each.end(), are_samples);
    (all ? summary["mean"] : summary["means"][join(mean.values, ",")]) = mean.metrics;
    settings.push_back(mean);
  }
  write_summary(parent, summary, settings_table(each, settings));
  return worst;
}

}  // namespace

int train_many(const TrainingRequest& request, const std::vector<KeyValues>& each, int seeds, int folds) {
  if (!each.empty()) return train_each(request, each, seeds, folds);
  if (seeds == 1 && folds == 0) return train_run(request);
  Json metrics;
  return train_seeds(request, runs_of_many(request, seeds, folds), metrics);
}

}  // namespace qkv
