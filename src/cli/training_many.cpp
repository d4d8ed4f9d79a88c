// Several runs of one config: seeds and folds side by side, and one run for each value of a key. A run that
// is finished is not trained again.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "cli/training.h"
#include "log/table.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/task/metrics.h"
#include "qkv/train/config.h"
#include "train/check.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

RunConfig run_config(const TrainingRequest& request) {
  RunConfig run;
  Section::load(request.config, request.sets).section("run").read(run);
  if (run.name.empty()) run.name = fs::path(request.config).stem().string();
  return run;
}

int train_unfinished(TrainingRequest one) {
  const std::string place = one.parent + "/" + one.name;
  if (!one.overwrite && is_finished(place)) return 0;
  if (!exists(place + "/config.resolved.toml")) one.overwrite = true;  // what a kill left of its beginning
  return train_run(one);
}

// What a run scored in its test split, else in validation.
Json scores_of(const std::string& run) {
  const Json result = read_json(run + "/result.json");
  return result.value(result.contains("test") ? "test" : "val", Json::object());
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
  for (int g = 0; g < result.classes(); g++)
    for (int p = 0; p < result.classes(); p++) {
      const long n =
          metrics.at("confusion").at(static_cast<std::size_t>(g)).at(static_cast<std::size_t>(p)).get<long>();
      for (long i = 0; i < n; i++) result.add(g, p);
    }
  return result;
}

// The scalar metrics of one seed: those of its run, or pooled over its folds.
std::vector<std::pair<std::string, double>> pooled(const std::vector<Json>& parts) {
  std::vector<std::pair<std::string, double>> result;
  for (auto& [name, value] : parts[0].items()) {
    if (!value.is_number()) continue;
    double sum = 0;
    for (const Json& part : parts) sum += to_double(part.at(name), name);
    result.emplace_back(name, sum / static_cast<double>(parts.size()));
  }
  if (!parts[0].contains("confusion")) return result;
  Confusion all;
  for (const Json& part : parts) all.merge(confusion_of(part));
  for (auto& [name, value] : result) {
    if (name == "accuracy") value = all.accuracy();
    if (name == "macro_f1") value = all.macro_f1();
  }
  return result;
}

Json statistics(const std::vector<double>& values) {
  double mean = 0, squares = 0;
  for (double v : values) mean += v / static_cast<double>(values.size());
  for (double v : values) squares += (v - mean) * (v - mean);
  const double deviation =
      values.size() > 1 ? std::sqrt(squares / static_cast<double>(values.size() - 1)) : 0.0;
  return {{"mean", mean}, {"sd", deviation}, {"values", values}};
}

// A task that can cut its data has the key data.folds.
void check_folds(const TrainingRequest& request) {
  const CheckReport report = check_config(Section::load(request.config, request.sets));
  if (!report.problems.empty()) return;  // which are reported with the whole request
  for (const ResolvedKey& key : report.config.resolved())
    if (key.key == "data.folds") return;
  fail(Fault::usage, "train: --folds must be for a task that can split its data; got '{}', which cannot",
       report.config.section("task").type(Task::kDefault));
}

// Removes the directory of an older request of the same name, and nothing else.
void remove_old(const std::string& parent) {
  std::error_code error;
  for (auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (name != "summary.json" && name != "report.html" && !starts_with(name, "seed-"))
      fail(Fault::usage, "{}: only a directory of runs can be overwritten; got '{}' in it", parent, name);
  }
  error.clear();
  fs::remove_all(parent, error);
  if (error) fail(Fault::runtime, "{}: cannot be removed; got {}", parent, error.message());
}

// ---- values of keys

// The last part of a path, or the value itself, as a name for a directory.
std::string name_of_value(const std::string& value) {
  std::string name = fs::path(value + "/").parent_path().filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != '_') c = '_';
  return name;
}

std::vector<std::string> names_of(const std::vector<std::string>& values) {
  std::vector<std::string> names;
  for (const std::string& value : values) {
    names.push_back(name_of_value(value));
    const auto same = std::find(names.begin(), names.end() - 1, names.back());
    if (same != names.end() - 1 || names.back().empty())
      fail(Fault::usage, "--each: values must differ in their last part, which names their runs; got {}",
           same == names.end() - 1
               ? in_quotes(value)
               : fmt::format("{} and {}", in_quotes(values[static_cast<std::size_t>(same - names.begin())]),
                             in_quotes(value)));
  }
  return names;
}

// One combination of values, and what came of it.
struct Setting {
  std::string name;                 // of its run: the names of the values
  std::vector<std::string> values;  // of the keys, in their order
  std::map<std::string, double> metrics;
};

std::vector<Setting> combinations(const std::vector<EachValue>& each) {
  std::vector<Setting> settings{{"", {}, {}}};
  for (const EachValue& one : each) {
    if (std::count_if(each.begin(), each.end(), [&](const EachValue& e) { return e.key == one.key; }) > 1)
      fail(Fault::usage, "--each: a key must be given once, with all its values; got '{}' twice", one.key);
    const std::vector<std::string> names = names_of(one.values);
    std::vector<Setting> longer;
    for (const Setting& setting : settings)
      for (std::size_t i = 0; i < names.size(); i++) {
        longer.push_back(setting);
        longer.back().name += (setting.name.empty() ? "" : ",") + names[i];
        longer.back().values.push_back(one.values[i]);
      }
    settings = std::move(longer);
  }
  return settings;
}

// Whether the values of a key are samples of one thing, whose results have a mean: data, folds or seeds.
bool are_samples(const EachValue& each) {
  if (each.key == "run.seed" || each.key == "data.fold") return true;
  return starts_with(each.key, "data.") &&
         std::all_of(each.values.begin(), each.values.end(), [](const std::string& v) { return exists(v); });
}

// For each combination of the other values the mean over the samples, with "mean" in their place.
std::vector<Setting> means_of(const std::vector<EachValue>& each, const std::vector<Setting>& settings) {
  std::vector<Setting> result;
  std::vector<std::map<std::string, int>> counts;
  if (std::none_of(each.begin(), each.end(), are_samples)) return result;
  for (Setting setting : settings) {
    for (std::size_t k = 0; k < each.size(); k++)
      if (are_samples(each[k])) setting.values[k] = "mean";
    std::size_t i = 0;
    while (i < result.size() && result[i].values != setting.values) i++;
    if (i == result.size()) result.push_back({"", setting.values, {}}), counts.emplace_back();
    for (auto& [metric, value] : setting.metrics) result[i].metrics[metric] += value, counts[i][metric]++;
  }
  for (std::size_t i = 0; i < result.size(); i++)
    for (auto& [metric, count] : counts[i]) result[i].metrics[metric] /= count;
  return result;
}

Table table_of(const std::vector<EachValue>& each, const std::vector<Setting>& settings) {
  std::vector<std::string> columns;
  for (const EachValue& one : each) columns.push_back(one.key);
  for (const auto& [metric, value] : settings[0].metrics) columns.push_back(metric);
  Table table(columns);
  for (const Setting& setting : settings) {
    std::vector<std::string> cells;
    for (const std::string& value : setting.values)
      cells.push_back(value.find('/') == std::string::npos ? value : name_of_value(value));
    for (std::size_t c = cells.size(); c < columns.size(); c++) {
      const auto found = setting.metrics.find(columns[c]);
      cells.push_back(found == setting.metrics.end() ? "" : fmt::format("{:.4f}", found->second));
    }
    table.row(cells);
  }
  return table;
}

}  // namespace

ManyRuns runs_of_many(const TrainingRequest& request, int seeds, int folds) {
  const RunConfig run = run_config(request);
  if (folds > 0) check_folds(request);
  ManyRuns many;
  many.parent = fmt::format("{}/{}{}{}", request.parent.empty() ? run.out_dir : request.parent,
                            request.name.empty() ? run.name : request.name,
                            seeds > 1 ? fmt::format("-{}seeds", seeds) : "",
                            folds > 0 ? fmt::format("-{}folds", folds) : "");
  for (int s = 0; s < seeds; s++) {
    many.folds.emplace_back();
    for (int fold = 0; fold < std::max(1, folds); fold++) {
      TrainingRequest one = request;
      one.parent = many.parent;
      one.resume = true;
      one.name = fmt::format("seed-{}", run.seed + s) + (folds > 0 ? fmt::format("-fold-{}", fold) : "");
      one.sets.push_back(fmt::format("run.seed={}", run.seed + s));
      if (folds > 0) {
        one.sets.push_back(fmt::format("data.folds={}", folds));
        one.sets.push_back(fmt::format("data.fold={}", fold));
      }
      // One part stands for all, where no old run is in its place.
      if ((s == 0 && fold == 0) || exists(one.parent + "/" + one.name)) check_config(one);
      many.folds.back().push_back(one);
    }
  }
  return many;
}

int train_many(const TrainingRequest& request, const ManyRuns& runs) {
  if (request.overwrite) remove_old(runs.parent);
  make_directories(runs.parent);
  std::vector<std::pair<std::string, std::vector<double>>> metrics;  // one value per seed
  int worst = 0;
  for (const std::vector<TrainingRequest>& folds : runs.folds) {
    std::vector<Json> parts;
    for (const TrainingRequest& one : folds) {
      worst = std::max(worst, train_unfinished(one));
      if (worst > 1) return worst;
      parts.push_back(scores_of(one.parent + "/" + one.name));
    }
    for (auto& [name, value] : pooled(parts)) {
      std::size_t i = 0;
      while (i < metrics.size() && metrics[i].first != name) i++;
      if (i == metrics.size()) metrics.push_back({name, {}});
      metrics[i].second.push_back(value);
    }
  }
  const std::size_t folds = runs.folds[0].size();
  Json summary = {{"config", request.config},
                  {"seeds", runs.folds.size()},
                  {"folds", folds > 1 ? folds : 0},
                  {"metrics", Json::object()}};
  Table table({"metric", "mean", "sd", "values"});
  for (auto& [name, values] : metrics) {
    const Json& all = summary["metrics"][name] = statistics(values);
    std::string each;
    for (double v : values) each += fmt::format("{}{:.4f}", each.empty() ? "" : "  ", v);
    table.row({name, fmt::format("{:.4f}", all["mean"].get<double>()),
               fmt::format("{:.4f}", all["sd"].get<double>()), each});
  }
  write_summary(runs.parent, summary, table);
  return worst;
}

int train_each(const TrainingRequest& request, const std::vector<EachValue>& each, int seeds, int folds) {
  const RunConfig run = run_config(request);
  const std::string parent = fmt::format("{}/{}-each", run.out_dir, run.name);
  const bool many = seeds > 1 || folds > 1;
  std::vector<Setting> settings = combinations(each);
  std::vector<TrainingRequest> requests;
  std::vector<ManyRuns> runs;
  for (const Setting& setting : settings) {
    TrainingRequest& one = requests.emplace_back(request);
    for (std::size_t k = 0; k < each.size(); k++) one.sets.push_back(each[k].key + "=" + setting.values[k]);
    one.parent = parent, one.name = setting.name;
    one.resume = !request.overwrite;
    if (!many) check_config(one);
    if (many) runs.push_back(runs_of_many(one, seeds, folds));
  }
  Json summary = {{"config", request.config}, {"keys", Json::array()}, {"values", Json::object()}};
  if (each.size() == 1) summary["key"] = each[0].key;
  for (const EachValue& one : each) summary["keys"].push_back(one.key);
  int worst = 0;
  for (std::size_t i = 0; i < settings.size(); i++) {
    Setting& setting = settings[i];
    worst = std::max(worst, many ? train_many(requests[i], runs[i]) : train_unfinished(requests[i]));
    if (worst > 1) return worst;
    const Json scores = many ? read_json(runs[i].parent + "/summary.json").at("metrics")
                             : scores_of(parent + "/" + setting.name);
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
  write_summary(parent, summary, table_of(each, settings));
  return worst;
}

}  // namespace qkv
