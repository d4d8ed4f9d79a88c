// One config, trained once for each value of one key.
#include <algorithm>
#include <filesystem>
#include <map>

#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/cli/training.h"
#include "qkv/log/console.h"
#include "qkv/log/table.h"
#include "qkv/train/config.h"

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

}  // namespace

int train_each(const TrainingRequest& request, const EachValue& each, int seeds, int folds) {
  RunConfig run;
  Section::load(request.config, request.sets).section("run").read(run);
  const std::string parent = fmt::format(
      "{}/{}-each", run.out_dir, run.name.empty() ? fs::path(request.config).stem().string() : run.name);
  const std::vector<std::string> names = names_of(each.values);
  const bool many = seeds > 1 || folds > 1;
  std::vector<TrainingRequest> parts;
  for (std::size_t i = 0; i < names.size(); i++) {
    TrainingRequest one = request;
    one.sets.push_back(each.key + "=" + each.values[i]);
    one.sets.push_back("run.out_dir=" + parent);
    one.sets.push_back("run.name=\"" + names[i] + "\"");
    one.resume = !request.overwrite;
    check_config(one);
    parts.push_back(one);
  }
  Json summary = {{"config", request.config}, {"key", each.key}, {"values", Json::object()}};
  std::map<std::string, double> mean;
  std::vector<std::map<std::string, double>> rows;
  int worst = 0;
  for (std::size_t i = 0; i < names.size(); i++) {
    const std::string place = parent + "/" + names[i] + (many ? suffix_of_many(seeds, folds) : "");
    if (many) {
      worst = std::max(worst, train_many(parts[i], seeds, folds));
    } else if (request.overwrite || !exists(place + "/result.json")) {
      worst = std::max(worst, train_run(parts[i]));
    }
    if (worst > 1) return worst;
    rows.push_back(means(place, many));
    summary["values"][names[i]] = rows.back();
  }
  std::vector<std::string> columns = {each.key};
  for (const auto& [metric, value] : rows[0]) {
    columns.push_back(metric);
    for (const auto& row : rows) {
      const auto found = row.find(metric);
      if (found != row.end()) mean[metric] += found->second / static_cast<double>(rows.size());
    }
  }
  rows.push_back(mean);
  Table table(columns);
  for (std::size_t i = 0; i < rows.size(); i++) {
    std::vector<std::string> cells = {i < names.size() ? names[i] : "mean"};
    for (std::size_t c = 1; c < columns.size(); c++) {
      const auto found = rows[i].find(columns[c]);
      cells.push_back(found == rows[i].end() ? "" : fmt::format("{:.4f}", found->second));
    }
    table.row(cells);
  }
  summary["mean"] = mean;
  write_file_atomic(parent + "/summary.json", dump_json(summary, 2) + "\n");
  console().print("{}", table.str(console().unicode()));
  console().info("summary  {}/summary.json", parent);
  return worst;
}

}  // namespace qkv
