#include "train/run_list.h"

#include <sys/stat.h>

#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "log/record_keys.h"
#include "qkv/base/config.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr int kMostLevels = 3;  // RUNS/NAME-each/VALUE-3seeds/seed-1337
constexpr std::size_t kAtOnce = std::size_t{1} << 22;

// When a file last changed.
std::string change_of(const struct stat& about) {
  return fmt::format("{} {} {}.{}", about.st_ino, about.st_size, about.st_mtim.tv_sec, about.st_mtim.tv_nsec);
}

std::string state_of(const std::string& path, const std::string& reason, bool begun) {
  if (reason.empty() && is_training(path)) return "training";
  if (reason.empty()) return begun ? "killed" : "not begun";
  return reason == "max_steps" ? "finished" : reason == "early_stop" ? "stopped early" : reason;
}

// train.max_steps of a resolved config: a resumed run may have another one than it began with. Else 0.
std::int64_t max_steps_of(const std::string& config) {
  try {
    return Section::load(config).section("train").get("max_steps", std::int64_t{0});
  } catch (const Error&) {  // said where the config is shown
    return 0;
  }
}

}  // namespace

Json json_of(const RunSummary& run) {
  Json result = {{"name", run.name}, {"state", run.state}, {"step", run.steps}, {"max_steps", run.max_steps}};
  if (run.best.step >= 0) {
    result["metric"] = run.metric;
    result["best_value"] = json_number(run.best.value);
    result["best_step"] = run.best.step;
  }
  return result;
}

bool is_run(const std::string& path) {
  return exists(path + "/config.resolved.toml") || exists(path + "/metrics.jsonl") || exists(path + "/.lock");
}

RunList::RunList(std::string folder, bool inside) : folder_(std::move(folder)), inside_(inside) {
  if (!is_directory(folder_))
    fail(Fault::data, "{}: must be a folder of runs; {}", folder_, not_a_directory(folder_));
  std::error_code error;
  root_ = fs::canonical(folder_, error).string();
  version_ = static_cast<std::uint64_t>(1e3 * epoch_seconds());  // beyond those of an earlier list
}

bool RunList::holds(const std::string& path) const {
  std::error_code error;
  const std::string real = fs::weakly_canonical(path, error).string();
  return !error && (real == root_ || starts_with(real, root_ == "/" ? "/" : root_ + "/"));
}

bool RunList::leads_out(const std::string& path) const {
  std::error_code error;
  return inside_ && fs::is_symlink(path, error) && !holds(path);
}

const RunSummary* RunList::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second.summary;
}

void RunList::refresh() {
  for (auto& [name, entry] : entries_) entry.present = false;
  const std::size_t before = entries_.size();
  order_.clear();
  collect(folder_, "", kMostLevels);
  bool other = entries_.size() != before;
  for (auto one = entries_.begin(); one != entries_.end();) {
    other = other || !one->second.present;
    one = one->second.present ? std::next(one) : entries_.erase(one);
  }
  if (other) names_ = ++version_;
}

void RunList::follow() {
  for (auto& [name, entry] : entries_)
    if (!entry.ended) look(entry);
}

void RunList::collect(const std::string& folder, const std::string& below, int depth) {
  for (const std::string& name : entries_of(folder)) {
    const std::string path = folder + "/" + name;
    if (!is_directory(path) || leads_out(path)) continue;
    if (is_run(path)) {
      Entry& entry = entries_.try_emplace(below + name, Entry{{below + name, path, ""}}).first->second;
      entry.present = true;
      order_.push_back(&entry.summary);
      look(entry);
    } else if (depth > 1) {
      collect(path, below + name + "/", depth - 1);
    }
  }
}

void RunList::take(Entry& entry, const Record& record) {
  RunSummary& run = entry.summary;
  if (record.type() == "start") {
    run.start = record, run.metric = record.text(key::metric), run.max_steps = record.integer(key::max_steps);
  } else if (record.type() == "train") {
    run.last = record, run.steps = record.step();
  } else if (record.type() == "eval" && record.text(key::split) == "val") {
    run.course.push_back(record.number(run.metric));
    if (record.flag(key::best)) run.best = {record.step(), record.number(run.metric)};
  } else if (record.type() == "end") {
    entry.ended = true;
    run.steps = record.step();
    run.state = state_of(run.path, std::string(record.text(key::reason)), true);
  }
}

// Of the many records of steps only the last counts, and is read first. What is wrong with a log is said
// where it is shown.
void RunList::read(Entry& entry, std::string_view lines) {
  constexpr std::string_view kTrain = R"({"type":"train")";
  const std::size_t last = lines.rfind(kTrain);
  const auto take_line = [&](std::string_view line) {
    try {
      take(entry, parse_metrics_line(line, entry.summary.path));
    } catch (const Error&) {
      return;
    }
  };
  if (last != lines.npos) take_line(lines.substr(last, lines.find('\n', last) - last));
  for (; !lines.empty(); lines.remove_prefix(lines.find('\n') + 1))
    if (!starts_with(lines, kTrain)) take_line(lines.substr(0, lines.find('\n')));
}

void RunList::look(Entry& entry) {
  const std::string path = entry.summary.path, log = path + "/metrics.jsonl";
  struct stat about {};
  const bool readable = ::stat(log.c_str(), &about) == 0 && S_ISREG(about.st_mode) && !leads_out(log);
  if (!readable && ::stat(path.c_str(), &about) != 0) return;
  const std::string now = change_of(about);
  if (now != entry.seen) {
    for (Growth growth; readable;) {
      growth = read_growth(log, entry.to, entry.mark, kAtOnce);
      if (growth.again) entry = {{entry.summary.name, path, ""}};
      entry.to = growth.to, entry.mark = growth.mark;
      read(entry, growth.lines);
      if (!growth.more) break;
    }
    entry.seen = now;
    entry.summary.date = about.st_mtime;
    const std::string config = path + "/config.resolved.toml";
    if (::stat(config.c_str(), &about) == 0 && change_of(about) != entry.config) {
      entry.config = change_of(about);
      if (const std::int64_t most = max_steps_of(config); most > 0) entry.summary.max_steps = most;
    }
    entry.summary.version = ++version_;
  }
  if (entry.ended) return;
  const std::string state = state_of(path, "", entry.to > 0);
  if (state == entry.summary.state) return;
  entry.summary.state = state;
  entry.summary.version = ++version_;
}

}  // namespace qkv
