// Several seeds and folds of one config: mean, spread, and pooled predictions.
#include <cmath>
#include <filesystem>

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
  if (!report.problems.empty()) return;  // which are told with the whole request
  for (const ResolvedKey& key : report.config.resolved())
    if (key.key == "data.folds") return;
  fail(Fault::usage, "train: --folds must be for a task that can cut its data; got '{}', which cannot",
       report.config.section("task").type(Task::kDefault));
}

// Removes the directory of an older request of the same name, and nothing else.
void remove_old(const std::string& parent) {
  std::error_code error;
  for (auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (name != "summary.json" && name != "report.html" && name.compare(0, 5, "seed-") != 0)
      fail(Fault::usage, "{}: only a directory of runs can be overwritten; got '{}' in it", parent, name);
  }
  error.clear();
  fs::remove_all(parent, error);
  if (error) fail(Fault::runtime, "{}: cannot be removed; got {}", parent, error.message());
}

}  // namespace

ManyRuns runs_of_many(const TrainingRequest& request, int seeds, int folds) {
  RunConfig run;
  Section::load(request.config, request.sets).section("run").read(run);
  if (folds > 0) check_folds(request);
  ManyRuns many;
  const std::string stem = fs::path(request.config).stem().string();
  many.parent = fmt::format("{}/{}{}{}", request.parent.empty() ? run.out_dir : request.parent,
                            !request.name.empty() ? request.name
                            : run.name.empty()    ? stem
                                                  : run.name,
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
  const std::string& parent = runs.parent;
  if (request.overwrite) remove_old(parent);
  make_directories(parent);
  std::vector<std::string> names;  // of the metrics, in order
  std::vector<std::vector<double>> values;
  int worst = 0;
  for (const std::vector<TrainingRequest>& folds : runs.folds) {
    std::vector<Json> parts;
    for (TrainingRequest one : folds) {
      const std::string place = parent + "/" + one.name, result = place + "/result.json";
      if (!is_finished(place)) {
        one.overwrite = !exists(place + "/config.resolved.toml");  // what a kill left of its beginning
        const int code = train_run(one);
        if (code > 1) return code;
        worst = std::max(worst, code);
      }
      const Json metrics = read_json(result);
      parts.push_back(metrics.value(metrics.contains("test") ? "test" : "val", Json::object()));
    }
    for (auto& [metric, value] : pooled(parts)) {
      std::size_t i = 0;
      while (i < names.size() && names[i] != metric) i++;
      if (i == names.size()) names.push_back(metric), values.emplace_back();
      values[i].push_back(value);
    }
  }
  const std::size_t folds = runs.folds[0].size();
  Json summary = {{"config", request.config},
                  {"seeds", runs.folds.size()},
                  {"folds", folds > 1 ? folds : 0},
                  {"metrics", Json::object()}};
  Table table({"metric", "mean", "sd", "values"});
  for (std::size_t i = 0; i < names.size(); i++) {
    summary["metrics"][names[i]] = statistics(values[i]);
    std::string each;
    for (double v : values[i]) each += fmt::format("{}{:.4f}", each.empty() ? "" : "  ", v);
    table.row({names[i], fmt::format("{:.4f}", summary["metrics"][names[i]]["mean"].get<double>()),
               fmt::format("{:.4f}", summary["metrics"][names[i]]["sd"].get<double>()), each});
  }
  write_file_atomic(parent + "/summary.json", dump_json(summary, 2) + "\n");
  console().print("{}", table.str(console().unicode()));
  console().info("summary  {}/summary.json", parent);
  return worst;
}

}  // namespace qkv
