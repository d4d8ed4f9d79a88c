// One config, trained once for each value of a key, or each combination of the values of several.
#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "cli/training.h"
#include "log/table.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/config.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

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

// metric -> mean over seeds, of a run or of several.
std::map<std::string, double> means(const std::string& place, bool many) {
  std::map<std::string, double> result;
  const Json json = read_json(place + (many ? "/summary.json" : "/result.json"));
  if (many) {
    for (auto& [name, value] : json.at("metrics").items()) result[name] = to_double(value.at("mean"), name);
    return result;
  }
  for (const char* part : {"test", "val"}) {
    if (!json.contains(part)) continue;
    for (auto& [name, value] : json.at(part).items())
      if (value.is_number()) result[name] = to_double(value, name);
    break;
  }
  return result;
}

// One combination of values.
struct Setting {
  std::string name;                 // of its run: the names of the values
  std::vector<std::string> values;  // of the keys, in their order
};

std::vector<Setting> combinations(const std::vector<EachValue>& each) {
  std::vector<Setting> settings{{"", {}}};
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

using Metrics = std::map<std::string, double>;

struct Row {
  std::vector<std::string> values;
  Metrics metrics;
};

// For each combination of the other values the mean over the samples, with "mean" in their place.
std::vector<Row> means_of(const std::vector<EachValue>& each, const std::vector<Row>& rows) {
  std::vector<Row> result;
  std::vector<std::map<std::string, std::pair<double, int>>> sums;
  if (std::none_of(each.begin(), each.end(), are_samples)) return result;
  for (Row row : rows) {
    for (std::size_t k = 0; k < each.size(); k++)
      if (are_samples(each[k])) row.values[k] = "mean";
    std::size_t i = 0;
    while (i < result.size() && result[i].values != row.values) i++;
    if (i == result.size()) result.push_back({row.values, {}}), sums.emplace_back();
    for (auto& [metric, value] : row.metrics) sums[i][metric].first += value, sums[i][metric].second++;
  }
  for (std::size_t i = 0; i < result.size(); i++)
    for (auto& [metric, sum] : sums[i]) result[i].metrics[metric] = sum.first / sum.second;
  return result;
}

Table table_of(const std::vector<EachValue>& each, const std::vector<Row>& rows) {
  std::vector<std::string> columns;
  for (const EachValue& one : each) columns.push_back(one.key);
  for (const auto& [metric, value] : rows[0].metrics) columns.push_back(metric);
  Table table(columns);
  for (const Row& row : rows) {
    std::vector<std::string> cells;
    for (const std::string& value : row.values)
      cells.push_back(value.find('/') == std::string::npos ? value : name_of_value(value));
    for (std::size_t c = cells.size(); c < columns.size(); c++) {
      const auto found = row.metrics.find(columns[c]);
      cells.push_back(found == row.metrics.end() ? "" : fmt::format("{:.4f}", found->second));
    }
    table.row(cells);
  }
  return table;
}

}  // namespace

int train_each(const TrainingRequest& request, const std::vector<EachValue>& each, int seeds, int folds) {
  RunConfig run;
  Section::load(request.config, request.sets).section("run").read(run);
  const std::string parent = fmt::format(
      "{}/{}-each", run.out_dir, run.name.empty() ? fs::path(request.config).stem().string() : run.name);
  const bool many = seeds > 1 || folds > 1;
  struct Part {
    Setting setting;
    TrainingRequest request;
    ManyRuns runs;
  };
  std::vector<Part> parts;
  for (const Setting& setting : combinations(each)) {
    TrainingRequest one = request;
    for (std::size_t k = 0; k < each.size(); k++) one.sets.push_back(each[k].key + "=" + setting.values[k]);
    one.parent = parent, one.name = setting.name;
    one.resume = !request.overwrite;
    if (!many) check_config(one);
    parts.push_back({setting, one, many ? runs_of_many(one, seeds, folds) : ManyRuns()});
  }
  Json summary = {{"config", request.config}, {"keys", Json::array()}, {"values", Json::object()}};
  if (each.size() == 1) summary["key"] = each[0].key;
  for (const EachValue& one : each) summary["keys"].push_back(one.key);
  std::vector<Row> rows;
  int worst = 0;
  for (Part& part : parts) {
    const std::string place = many ? part.runs.parent : parent + "/" + part.setting.name;
    if (many) {
      worst = std::max(worst, train_many(part.request, part.runs));
    } else if (request.overwrite || !is_finished(place)) {
      if (!exists(place + "/config.resolved.toml")) part.request.overwrite = true;  // what a kill left
      worst = std::max(worst, train_run(part.request));
    }
    if (worst > 1) return worst;
    rows.push_back({part.setting.values, means(place, many)});
    summary["values"][part.setting.name] = rows.back().metrics;
    summary["settings"][part.setting.name] = part.setting.values;
  }
  for (const Row& row : means_of(each, rows)) {
    const bool all = std::all_of(each.begin(), each.end(), are_samples);
    (all ? summary["mean"] : summary["means"][join(row.values, ",")]) = row.metrics;
    rows.push_back(row);
  }
  write_file_atomic(parent + "/summary.json", dump_json(summary, 2) + "\n");
  console().print("{}", table_of(each, rows).str(console().unicode()));
  console().info("summary  {}/summary.json", parent);
  return worst;
}

}  // namespace qkv
