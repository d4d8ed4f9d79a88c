#include "log/run_log.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "log/record_keys.h"
#include "qkv/base/error.h"

namespace fs = std::filesystem;

namespace qkv {

void RunLog::add(Record record) {
  const std::string& type = record.type();
  if (type == "start" || type == "end")
    (type == "start" ? start : end) = std::move(record);
  else
    (type == "train" ? train : type == "eval" ? eval : other).push_back(std::move(record));
}

std::vector<std::string> RunLog::metrics() const {
  std::vector<std::string> names;
  for (const std::vector<Record>* records : {&train, &eval})
    for (const Record& record : *records)
      for (const Metric& metric : record) {
        const bool clock = metric.name == key::step || metric.name == key::epoch ||
                           metric.name == key::tokens || metric.name == key::time_s;
        if (!clock && is_number(metric.value) && !std::count(names.begin(), names.end(), metric.name))
          names.push_back(metric.name);
      }
  return names;
}

Curve RunLog::curve(const std::string& metric, const std::string& split) const {
  Curve result;
  result.name = split;
  for (const Record& record : split == "train" ? train : eval) {
    if ((split != "train" && record.text(key::split) != split) || !record.has(metric)) continue;
    result.x.push_back(double(record.step()));
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

RunLogReader::RunLogReader(const std::string& run) : file_(run + "/metrics.jsonl") {
  if (!is_directory(run)) fail(Fault::data, "{}: must be a run directory; {}", run, not_a_directory(run));
  log_.path = run;
  log_.name = fs::weakly_canonical(run).filename().string();
}

bool RunLogReader::poll() {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file_, error);
  if (error) return false;
  if (!reader_ || size < size_) {
    log_ = RunLog{log_.path, log_.name};
    reader_ = std::make_unique<MetricsReader>(file_);
  }
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
    log_.add(std::move(record));
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
  if (depth == 0) return;
  for (const std::string& name : entries_of(path))
    if (const fs::path below = fs::path(path) / name; is_directory(below.string()))
      find_runs(below.string(), depth - 1, found);
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
    std::map<std::string, std::set<fs::path>> folders;  // of each name
    for (std::size_t i = 0; i < logs.size(); i++) folders[logs[i].name].insert(rest[i]);
    again = false;
    for (std::size_t i = 0; i < logs.size(); i++) {
      if (folders[logs[i].name].size() == 1 || !rest[i].has_filename()) continue;
      logs[i].name = rest[i].filename().string() + "/" + logs[i].name;
      rest[i] = rest[i].parent_path();
      again = true;
    }
  }
  return logs;
}

}  // namespace qkv
