// The config and the environment that a run directory keeps, by which one knows whether two runs are equal.
#include <filesystem>
#include <fstream>
#include <set>

#include "base/machine.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/train/experiment.h"
#include "qkv/version.h"
#include "tensor/bf16.h"
#include "tensor/blas.h"
#include "train/checkpoint.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {

// The key whose files are not those that the run directory keeps, or was made from where it refers
// to them; "" where all are.
static std::string changed_data(const std::string& run, const Task& task, const Section& config) {
  for (const DataPlace& data : data_places(task, config)) {
    const std::string copy = run + "/" + data.place;
    const std::string before = !data.copied   ? env_value(run, "checksum of " + data.key)
                               : exists(copy) ? content_checksum(copy)
                                              : "none";
    if (!before.empty() && before != content_checksum(data.source)) return data.key;
  }
  return "";
}

static std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (starts_with(line, "model name")) return std::string(trim(line.substr(line.find(':') + 1)));
  return "unknown";
}

// Where each value of the config was given, and what it means; in the order of config.resolved.toml.
static Json origins(const Section& config) {
  Json list = Json::array();
  for (const ResolvedKey& key : config.resolved())
    list.push_back({{"key", key.key}, {"value", key.value}, {"origin", key.origin}, {"help", key.help}});
  return list;
}

// config.resolved.toml comes last: a directory that has it can be resumed.
void write_run_files(const RunDir& run, const Experiment& e, const std::string& config,
                     const std::string& resolved, const std::vector<std::string>& command) {
  keep_data(run.path(), *e.task, e.config);
  keep_plugins(run.path());
  write_file_atomic(run.file("config.toml"), config);
  Json env = environment(command, pool().size(), e.run.seed);
  env["id"] = make_run_id(e.config, *e.task);
  for (const DataPlace& data : data_places(*e.task, e.config))  // of data that stays where it is
    if (!data.copied) env["checksum of " + data.key] = content_checksum(data.source);
  if (const std::string sum = start_checksum(e.config); !sum.empty())
    env["checksum of train.init_from"] = sum;
  write_file_atomic(run.file("env.json"), dump_json(env, 2) + "\n");
  write_file_atomic(run.file("origins.json"), dump_json(origins(e.config), 2) + "\n");
  write_file_atomic(run.file("config.resolved.toml"), resolved);
  write_run_checksums(run.path());
}

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
  for (const char* other : {"run.name", "run.out_dir", "run.threads", "data.cache", "eval.levels", "log.",
                            "inspect.", "checkpoint.", "bench.", "expect."})
    if (starts_with(key, other)) return false;
  return true;
}

std::string content_checksum(const std::string& path) {
  std::string text;
  if (is_manifest(path)) {  // the names of its files may be others
    for (const std::string& file : files_of_manifest(path)) text += checksum_file(file) + "\n";
    return checksum(text);
  }
  if (!is_directory(path)) return checksum_file(path);
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
  for (auto& [key, path] : data_files(task, config)) {
    paths.insert(key.substr(0, key.find('[')));
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
  const std::string start = start_checksum(config), before = env_value(run, "checksum of train.init_from");
  if (!start.empty() && !before.empty() && before != start) return "other weights in train.init_from";
  const std::string changed = changed_data(run, task, config);
  return changed.empty() ? "" : fmt::format("another content of {}", changed);
}

std::string newest_run(const std::string& out_dir, const std::string& name, const Section& config,
                       const std::string& text, const Task& task) {
  std::string best;
  fs::file_time_type best_time{};
  std::error_code ignored;
  for (const std::string& own : entries_of(out_dir)) {
    const bool named =
        own == name || (starts_with(own, name + "-") && all_digits(own.substr(name.size() + 1)));
    const std::string run = (fs::path(out_dir) / own).string(), resolved = run + "/config.resolved.toml";
    if (!named || !exists(resolved) || !difference_of_run(run, config, text, task).empty()) continue;
    const auto time = fs::last_write_time(resolved, ignored);
    if (best.empty() || time > best_time) best = run, best_time = time;
  }
  return best;
}

// What multiplies bf16; "" in a run that does not, which then tries no unit.
static std::string unit_in_use() {
  if (matmul_in_use() != Matmul::bf16) return "";
  return bf16::unit() ? bf16::unit()->name : "none";
}

Json environment(const std::vector<std::string>& command, int threads, std::int64_t seed) {
  const Blas state = blas();
  return {{"version", kVersion},
          {"revision", kRevision},
          {"compiler", kCompiler},
          {"cpu", cpu_name()},
          {"cpus", available_threads()},
          {"memory_bytes", available_memory()},
          {"blas", state.library},
          {"blas_core", state.core},
          {"blas_chosen_by", state.chosen_by},
          {"blas_note", state.note},
          {"vectors", vector_set()},
          {"bf16", unit_in_use()},
          {"threads", threads},
          {"seed", seed},
          {"command", command}};
}

std::string env_value(const std::string& run, const std::string& key) {
  const std::string file = run + "/env.json";
  const Json env = exists(file) ? read_json(file) : Json::object();
  return env.is_object() && env.contains(key) && env.at(key).is_string() ? env.at(key).get<std::string>()
                                                                         : "";
}

bool names_a_directory(const std::string& name) {
  return name.find('/') == std::string::npos && name != "." && name != "..";
}

std::string changed_arithmetic(const std::string& run) {
  const auto library = [](const std::string& text) {  // name and version, without the flavour
    const std::vector<std::string> words = split_words(text);
    return words.size() < 2 ? "" : words[0] + " " + words[1];
  };
  std::vector<std::string> changes;
  const auto compare = [&](const char* what, const std::string& then, const std::string& here) {
    if (!then.empty() && then != here) changes.push_back(fmt::format("{} {} (was {})", what, here, then));
  };
  const Blas now = blas();
  compare("library", library(env_value(run, "blas")), library(now.library));
  compare("kernels", env_value(run, "blas_core"), now.core);
  compare("vectors", env_value(run, "vectors"), vector_set());
  compare("unit for bf16", env_value(run, "bf16"), unit_in_use());
  return join(changes, ", ");
}

}  // namespace qkv
