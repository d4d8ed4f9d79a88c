#include "train/levels.h"

#include <cmath>
#include <map>

#include "base/file.h"
#include "log/number_text.h"
#include "log/record_keys.h"
#include "log/table.h"
#include "log/tensorboard.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {

Json json_of(const std::vector<ReferenceLevel>& levels) {
  Json list = Json::array();
  for (const ReferenceLevel& one : levels)
    list.push_back(
        {{"name", one.name}, {"metric", one.metric}, {"value", one.value}, {"meaning", one.meaning}});
  return list;
}

std::vector<ReferenceLevel> read_levels(const std::string& run, std::vector<std::string>& problems) {
  const std::string file = run + "/levels.json";
  std::vector<ReferenceLevel> levels;
  if (!exists(file)) return levels;
  try {
    for (const Json& one : read_json(file, {std::size_t{1} << 20})) {
      levels.push_back({one.at("name").get<std::string>(), one.at("metric").get<std::string>(),
                        one.at("value").get<double>(), one.at("meaning").get<std::string>()});
      if (!std::isfinite(levels.back().value)) fail(Fault::data, "{}: values must be finite", file);
    }
    return levels;
  } catch (const Error& e) {
    problems.push_back(e.what());
  } catch (const Json::exception&) {
    problems.push_back(file + ": must be a list of name, metric, value and meaning; got something else");
  }
  return {};
}

std::vector<ReferenceLevel> levels_of_run(Task& task, const std::string& run, bool anew) {
  std::vector<std::string> damage;
  std::vector<ReferenceLevel> levels = read_levels(run, damage);
  if (!anew && damage.empty() && exists(run + "/levels.json")) return levels;
  levels.clear();
  for (ReferenceLevel& level : task.levels())
    if (std::isfinite(level.value)) levels.push_back(std::move(level));
  write_file_atomic(run + "/levels.json", dump_json(json_of(levels), 2) + "\n");
  return levels;
}

void write_level_lines(const std::vector<ReferenceLevel>& levels, const std::string& run, std::int64_t last) {
  if (exists(run + "/levels")) return;
  std::map<std::string, EventFile> files;  // by name
  for (const ReferenceLevel& level : levels) {
    const std::string folder = run + "/levels/" + replace_all(level.name, " ", "-");
    make_directories(folder);
    EventFile& file = files.try_emplace(folder, folder).first->second;
    for (const std::int64_t step : {std::int64_t{0}, last})
      file.scalar("val/" + level.metric, step, level.value);
  }
}

static bool better(const std::string& metric, double value, double than) {
  const bool low = ends_with(metric, "loss") || metric == "perplexity";
  return low ? value < than : value > than;
}

std::vector<const ReferenceLevel*> LevelWatch::add(const Record& record) {
  std::map<std::string, const ReferenceLevel*> hardest;  // by metric
  const bool evaluates = record.type() == "eval" && record.text(key::split) == "val";
  for (std::size_t i = 0; evaluates && i < levels.size(); i++) {
    const ReferenceLevel& level = levels[i];
    const double value = record.number(level.metric),
                 bound = static_cast<float>(level.value);  // as records are
    if (passed[i] >= 0 || !better(level.metric, value, bound)) continue;
    passed[i] = record.step();
    const ReferenceLevel*& own = hardest[level.metric];
    if (!own || better(level.metric, level.value, own->value)) own = &level;
  }
  std::vector<const ReferenceLevel*> result;
  for (const auto& [metric, level] : hardest) result.push_back(level);
  return result;
}

LevelSink::LevelSink(std::vector<ReferenceLevel> levels, const std::string& run) : watch_(std::move(levels)) {
  for (const Record& record : read_run_log(run).eval) watch_.add(record);
}

void LevelSink::write(const Record& record) {
  for (const ReferenceLevel* level : watch_.add(record))
    console().info("step {}: {}{} {} ({})", record.step(), level->metric == "loss" ? "" : level->metric + " ",
                   better(level->metric, 0, 1) ? "below" : "above", level->name, metric_text(level->value));
}

std::vector<PlotLevel> shared_levels(const std::vector<RunLog>& logs, const std::string& metric) {
  std::vector<std::string> damage;  // which level_table reports
  std::vector<PlotLevel> shared;
  const std::vector<ReferenceLevel> levels = read_levels(logs.at(0).path, damage);
  for (const RunLog& log : logs)
    if (json_of(read_levels(log.path, damage)) != json_of(levels)) return {};
  for (const ReferenceLevel& level : levels)
    if (level.metric == metric) shared.push_back({level.name, level.value});
  return shared;
}

std::string level_table(const RunLog& log, const std::vector<std::string>& metrics) {
  std::vector<std::string> damage;
  LevelWatch watch(read_levels(log.path, damage));
  if (!damage.empty()) return damage[0] + "\n";
  for (const Record& record : log.eval) watch.add(record);
  Table table({"level", "metric", "value", "passed at step"});
  for (const std::string& metric : metrics)
    for (std::size_t i = 0; i < watch.levels.size(); i++)
      if (const ReferenceLevel& level = watch.levels[i]; level.metric == metric)
        table.row({level.name, metric, metric_text(level.value),
                   watch.passed[i] < 0 ? "" : grouped(watch.passed[i])});
  return table.rows() == 0 ? "" : table.str(console().unicode());
}

}  // namespace qkv
