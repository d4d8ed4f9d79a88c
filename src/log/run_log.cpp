#include "log/run_log.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "log/record_keys.h"
#include "qkv/base/error.h"

namespace fs = std::filesystem;

namespace qkv {

std::vector<std::string> RunLog::metrics() const {
  std::vector<std::string> names;
  for (const std::vector<Record>* records : {&train, &eval})
    for (const Record& record : *records)
      for (const Metric& metric : record) {
        const bool clock = metric.name == key::step || metric.name == key::epoch ||
                           metric.name == key::tokens || metric.name == key::time_s;
        if (!clock && is_number(metric.value) &&
            std::find(names.begin(), names.end(), metric.name) == names.end())
          names.push_back(metric.name);
      }
  return names;
}

Curve RunLog::curve(const std::string& metric, const std::string& split) const {
  Curve result;
  result.name = split;
  for (const Record& record : split == "train" ? train : eval) {
    if ((split != "train" && record.text(key::split) != split) || !record.has(metric)) continue;
    result.x.push_back(static_cast<double>(record.step()));
    result.y.push_back(record.number(metric));
  }
  return result;
}

const Record* RunLog::best() const {
  const Record* found = nullptr;
  for (const Record& record : eval)
    if (record.flag(key::best)) found = &record;
  return found;
}

RunLogReader::RunLogReader(const std::string& run) {
  if (!is_directory(run)) fail(Fault::data, "{}: must be a run directory; {}", run, not_a_directory(run));
  log_.path = run;
  log_.name = fs::weakly_canonical(run).filename().string();
  file_ = run + "/metrics.jsonl";
}

void RunLogReader::open() {
  const std::string path = log_.path, name = log_.name;
  log_ = RunLog();
  log_.path = path, log_.name = name;
  reader_ = std::make_unique<MetricsReader>(file_);
}

bool RunLogReader::poll() {
  std::error_code error;
  const auto size = static_cast<std::size_t>(fs::file_size(file_, error));
  if (error) return false;
  const bool again = !reader_ || size < size_;
  if (again) open();
  size_ = size;
  bool any = false;
  for (Record record;;) {
    try {
      if (!reader_->next(record)) break;
    } catch (const Error& e) {
      log_.problems.push_back(e.what());
      if (log_.problems.size() > 20) break;
      continue;
    }
    any = true;
    if (record.type() == "start")
      log_.start = std::move(record);
    else if (record.type() == "end")
      log_.end = std::move(record);
    else if (record.type() == "train")
      log_.train.push_back(std::move(record));
    else if (record.type() == "eval")
      log_.eval.push_back(std::move(record));
    else
      log_.other.push_back(std::move(record));
  }
  return any;
}

RunLog RunLogReader::finished() const {
  RunLog log = log_;
  if (!reader_) {
    log.problems.push_back(fmt::format("{}: is missing; there are no curves", file_));
    return log;
  }
  if (reader_->torn()) log.problems.push_back(fmt::format("{}: the last line is cut off", file_));
  if (log.start.type().empty()) log.problems.push_back(fmt::format("{}: has no start line", file_));
  if (!log.ended())
    log.problems.push_back(fmt::format("{}: has no end line (the run is still going, or was killed)", file_));
  return log;
}

RunLog read_run_log(const std::string& run) {
  RunLogReader reader(run);
  reader.poll();
  return reader.finished();
}

static void find_runs(const std::string& path, int depth, std::vector<std::string>& found) {
  if (exists(path + "/config.resolved.toml") || exists(path + "/metrics.jsonl")) {
    found.push_back(path);
    return;
  }
  std::error_code ignored;
  for (auto& entry : fs::directory_iterator(path, ignored))
    if (depth > 0 && entry.is_directory(ignored)) find_runs(entry.path().string(), depth - 1, found);
}

std::vector<std::string> runs_of(const std::string& path) {
  constexpr int kDepth = 3;  // RUNS/NAME-each/VALUE-3seeds/seed-1
  std::vector<std::string> found;
  find_runs(path, kDepth, found);
  std::sort(found.begin(), found.end());
  return found.empty() ? std::vector<std::string>{path} : found;
}

std::vector<RunLog> read_run_logs(const std::vector<std::string>& paths) {
  std::vector<RunLog> logs;
  for (const std::string& path : paths)
    for (const std::string& run : runs_of(path)) logs.push_back(read_run_log(run));
  std::vector<fs::path> rest;  // of each path, before the name
  for (const RunLog& log : logs) rest.push_back(fs::weakly_canonical(log.path).parent_path());
  for (bool again = true; again;) {
    again = false;
    std::vector<bool> alike(logs.size());
    for (std::size_t i = 0; i < logs.size(); i++)
      for (std::size_t k = 0; k < logs.size(); k++)
        if (logs[i].name == logs[k].name && rest[i] != rest[k]) alike[i] = true;
    for (std::size_t i = 0; i < logs.size(); i++) {
      if (!alike[i] || !rest[i].has_filename()) continue;
      logs[i].name = rest[i].filename().string() + "/" + logs[i].name;
      rest[i] = rest[i].parent_path();
      again = true;
    }
  }
  return logs;
}

}  // namespace qkv
