// The config that a run directory keeps, and what follows from it: whether two runs are the same.
#include <filesystem>
#include <set>

#include "base/files.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/config.h"
#include "train/checkpoint.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

// The key of [data] whose files are not those that the run directory keeps, or was made from where it refers
// to them; "" where all are.
std::string changed_data(const std::string& run, const Task& task) {
  const auto files = task.files();
  const auto places = data_places(task);
  for (std::size_t i = 0; i < files.size(); i++) {
    const std::string &key = places[i].first, copy = run + "/" + places[i].second;
    std::string before;
    if (!fs::path(places[i].second).is_absolute())
      before = exists(copy) ? content_checksum(copy) : "none";
    else if (exists(run + "/env.json"))
      before = read_json(run + "/env.json").value("checksum of " + key, "");
    if (!before.empty() && before != content_checksum(files[i].second)) return key;
  }
  return "";
}

}  // namespace

std::string resolved_config(const Section& config,
                            const std::vector<std::pair<std::string, std::string>>& replaced) {
  const Section kept = config.copy();
  for (auto& [key, value] : replaced) kept.set(key, value);
  return kept.dump();
}

std::map<std::string, std::string> resolved_values(const std::string& text) {
  std::map<std::string, std::string> values;
  for (const ResolvedKey& key : Section::parse(text).all_given()) values[key.key] = key.value;
  return values;
}

bool decides_result(const std::string& key) {
  for (const char* other :
       {"run.name", "run.out_dir", "run.threads", "log.", "inspect.", "checkpoint.", "bench.", "expect."})
    if (starts_with(key, other)) return false;
  return true;
}

std::string content_checksum(const std::string& path) {
  if (!is_directory(path)) return checksum_file(path);
  std::string text;
  for (const std::string& name : files_below(path))
    text += name + " " + checksum_file(path + "/" + name) + "\n";
  return checksum(text);
}

std::string start_checksum(const Section& config) {
  const std::string from = config.section("train").read<TrainConfig>().init_from;
  if (from.empty()) return "";
  try {
    return checksum_file(
        ends_with(from, ".safetensors") ? from : find_checkpoint(from, "best") + "/model.safetensors");
  } catch (const Error&) {  // what is gone cannot be compared
    return "";
  }
}

std::string make_run_id(const Section& config, const Task& task) {
  std::string text;
  std::set<std::string> paths{"plugins"};
  for (auto& [key, path] : task.files()) {
    paths.insert("data." + key);
    text += key + " " + content_checksum(path) + "\n";
  }
  for (const ResolvedKey& key : config.resolved())
    if (decides_result(key.key) && !paths.count(key.key)) text += key.key + " = " + key.value + "\n";
  return checksum(text);
}

std::string difference_of_run(const std::string& run, const Section& config, const std::string& text,
                              const Task& task) {
  auto own = resolved_values(read_file(config_of_run(run), 1 << 20)), now = resolved_values(text);
  for (const ResolvedKey& key : config.resolved())  // what an older run does not have was at its default
    if (key.origin == "default" && !own.count(key.key)) now.erase(key.key);
  for (const auto& [key, value] : now) {
    const auto found = own.find(key);
    const std::string before = found == own.end() ? "not set" : found->second;
    if (before != value && decides_result(key)) return fmt::format("{} = {} (was {})", key, value, before);
    if (found != own.end()) own.erase(found);
  }
  for (const auto& [key, value] : own)
    if (decides_result(key)) return fmt::format("{} is not set (was {})", key, value);
  const std::string start = start_checksum(config);
  if (!start.empty() && exists(run + "/env.json") &&
      read_json(run + "/env.json").value("checksum of train.init_from", start) != start)
    return "other weights in train.init_from";
  const std::string changed = changed_data(run, task);
  return changed.empty() ? "" : fmt::format("another content of {}", changed);
}

std::string newest_run(const std::string& out_dir, const std::string& name, const Section& config,
                       const std::string& text, const Task& task) {
  std::string best;
  fs::file_time_type best_time{};
  std::error_code error;
  for (auto& entry : fs::directory_iterator(out_dir, error)) {
    const std::string own = entry.path().filename().string();
    const bool named =
        own == name || (starts_with(own, name + "-") && own.size() > name.size() + 1 &&
                        own.find_first_not_of("0123456789", name.size() + 1) == std::string::npos);
    const std::string run = entry.path().string(), resolved = run + "/config.resolved.toml";
    if (!named || !exists(resolved) || !difference_of_run(run, config, text, task).empty()) continue;
    const auto time = fs::last_write_time(resolved, error);
    if (best.empty() || time > best_time) best = entry.path().string(), best_time = time;
  }
  return best;
}

}  // namespace qkv
