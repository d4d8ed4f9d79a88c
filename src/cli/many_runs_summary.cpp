// What came of many runs: their metrics with mean and spread, as tables and in summary.json.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/answers.h"
#include "cli/sweep.h"
#include "log/run_log.h"
#include "qkv/task/metrics.h"

namespace qkv {
namespace {

void write_summary(const std::string& parent, const Json& summary) {
  write_file_atomic(parent + "/summary.json", dump_json(summary, 2) + "\n");
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

// Each metric of the test split, else of validation: mean, standard deviation, and the value of each seed. Of
// several runs they are written, too.
Json summarize_seeds(const ManyRuns& many, const std::vector<TrainingRequest>& runs) {
  Json values = Json::object(), metrics = Json::object();
  std::vector<Json> folds;
  for (const TrainingRequest& one : runs) {
    const Json result = read_json(one.place() + "/result.json");
    folds.push_back(result.value(result.contains("test") ? "test" : "val", Json::object()));
    if (static_cast<int>(folds.size()) < many.folds) continue;
    const Json of_seed = pooled(folds);
    for (auto& [name, value] : of_seed.items()) values[name].push_back(value);
    folds.clear();
  }
  for (auto& [name, each] : values.items()) metrics[name] = statistics(each.get<std::vector<double>>());
  if (runs.size() > 1)
    write_summary(runs[0].parent, {{"config", many.request.config},
                                   {"seeds", many.seeds},
                                   {"folds", many.folds},
                                   {"metrics", metrics}});
  return metrics;
}

// ---- settings

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

// Losses of settings that nearly diverged are very large.
std::string number_text(double value) {
  return std::fabs(value) < 1e6 ? fmt::format("{:.4f}", value) : fmt::format("{:.3g}", value);
}

// Of a sweep with the score on validation data, before the metrics of what was trained whole.
std::string settings_table(const ManyRuns& many, const std::vector<KeyValues>& keys,
                           const std::vector<Setting>& settings, const Judge& judge, bool test) {
  std::vector<Column> columns;
  for (const KeyValues& one : keys) columns.push_back({one[0], one[0]});
  if (many.halving > 0) columns.push_back({"steps", "/steps"});
  if (many.sweep) columns.push_back({"val " + judge.metric, "/score"});
  if (many.sweep && many.seeds > 1) columns.push_back({"sd", "/sd"});
  std::map<std::string, double> all;
  for (const Setting& setting : settings) all.insert(setting.metrics.begin(), setting.metrics.end());
  for (auto& [metric, value] : all)
    if (!many.sweep || test || metric != judge.metric)
      columns.push_back({(many.sweep && test ? "test " : "") + metric, metric});
  Json rows = Json::array();
  for (const Setting& setting : settings) {
    Json& row = rows.emplace_back(Json::object());
    for (auto& [metric, value] : setting.metrics) row[metric] = number_text(value);
    if (setting.reached > 0) row["/steps"] = setting.reached;
    if (!std::isnan(setting.score))
      row["/score"] = number_text(setting.score), row["/sd"] = number_text(setting.sd);
    if (setting.diverged) row[many.sweep || all.empty() ? "/score" : all.begin()->first] = "diverged";
    for (std::size_t k = 0; k < keys.size(); k++) {
      const std::string& value = setting.values[k];
      row[keys[k][0]] = value.find('/') == std::string::npos ? value : name_of_value(value);
    }
  }
  return table_text(rows, columns);
}

}  // namespace

void spread_scores(Setting& setting) {
  const Json of_seeds = statistics(setting.scores);
  setting.score = of_seeds.at("mean"), setting.sd = of_seeds.at("sd");
}

bool Judge::better(const Setting& a, const Setting& b) const {
  if (std::isnan(a.score) || std::isnan(b.score)) return !std::isnan(a.score);
  return higher_is_better ? a.score > b.score : a.score < b.score;
}

void summarize(const ManyRuns& many, const std::vector<KeyValues>& keys, std::vector<Setting> settings,
               const Judge& judge, const std::string& folder) {
  if (keys.empty()) {
    const Json metrics = summarize_seeds(many, settings[0].runs);
    Json rows = Json::array();
    for (auto& [name, metric] : metrics.items()) {
      const auto values = metric.at("values").get<std::vector<double>>();
      rows.push_back(metric);
      rows.back().update({{"metric", name}, {"values", fmt::format("{:.4f}", fmt::join(values, "  "))}});
    }
    return print_answer(many.json, metrics, table_text(rows, "metric | mean:.4f | sd:.4f | values"));
  }
  Json summary = {{"config", many.request.config}, {"keys", Json::array()}, {"values", Json::object()}};
  if (keys.size() == 1) summary["key"] = keys[0][0];
  for (const KeyValues& one : keys) summary["keys"].push_back(one[0]);
  if (many.sweep) summary.update({{"metric", judge.metric}, {"best", settings[0].name}});
  bool test = false;
  for (Setting& setting : settings) {
    summary["settings"][setting.name] = setting.values;
    if (many.sweep)
      summary["scores"][setting.name] = {
          {"mean", json_number(setting.score)}, {"sd", json_number(setting.sd)}, {"values", setting.scores}};
    if (many.halving > 0) summary["steps"][setting.name] = setting.reached;
    if (setting.diverged || setting.runs[0].pause_at > 0) continue;
    const Json metrics = summarize_seeds(many, setting.runs);
    for (auto& [name, metric] : metrics.items()) setting.metrics[name] = metric.at("mean");
    summary["values"][setting.name] = setting.metrics;
    test = test || read_json(setting.runs[0].place() + "/result.json").contains("test");
  }
  for (const Setting& mean : means_of(keys, settings)) {
    const bool all = std::all_of(keys.begin(), keys.end(), are_samples);
    (all ? summary["mean"] : summary["means"][join(mean.values, ",")]) = mean.metrics;
    settings.push_back(mean);
  }
  write_summary(folder, summary);
  print_answer(many.json, summary, settings_table(many, keys, settings, judge, test));
}

}  // namespace qkv
