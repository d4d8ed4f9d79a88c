#include "qkv/train/run_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/plugin.h"
#include "qkv/base/text.h"
#include "qkv/train/checksums.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::uintmax_t kKeepBytes = 64u << 20;

// An exclusive lock that ends with the process, or -1 when somebody else has it.
int take_lock(const std::string& run) {
  const int descriptor = ::open((run + "/.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (descriptor < 0) fail(Fault::runtime, "{}: must be writable; got {}", run, std::strerror(errno));
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

std::uintmax_t size_of_tree(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return fs::file_size(path, ignored);
  std::uintmax_t total = 0;
  for (auto& entry : fs::directory_iterator(path, ignored))
    if (entry.is_regular_file(ignored)) total += entry.file_size(ignored);
  return total;
}

bool is_empty(const std::string& folder) {
  std::error_code ignored;
  return fs::is_empty(folder, ignored);
}

bool same_bytes(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return fs::file_size(a, ignored) == fs::file_size(b, ignored) && fs::is_regular_file(b, ignored) &&
         checksum_file(a.string()) == checksum_file(b.string());
}

// The key of [data] whose files are not those that the run directory keeps; "" where all are.
std::string changed_data(const std::string& run, const Task& task) {
  const auto files = task.files();
  const auto places = data_places(task);
  for (std::size_t i = 0; i < files.size(); i++) {
    const fs::path source = files[i].second, copy = fs::path(run) / places[i].second;
    if (fs::path(places[i].second).is_absolute()) continue;
    if (!is_directory(source)) {
      if (!same_bytes(source, copy)) return places[i].first;
      continue;
    }
    std::error_code ignored;
    for (auto& entry : fs::directory_iterator(source, ignored))
      if (entry.is_regular_file(ignored) && !same_bytes(entry.path(), copy / entry.path().filename()))
        return places[i].first;
  }
  return "";
}

// The values of a resolved config by key; from the second table of a name on with its number:
// "model.layers.1.type".
std::map<std::string, std::string> values_of(const std::string& resolved) {
  std::map<std::string, std::string> values;
  std::map<std::string, int> seen;
  std::string table;
  for (const std::string& line : split(resolved, '\n')) {
    const std::size_t equals = line.find(" = ");
    if (starts_with(line, "[")) {
      const std::string name(trim(line.substr(0, line.find(']')).substr(line.find_last_of('[') + 1)));
      const int number = seen[name]++;
      table = name + (number > 0 ? fmt::format(".{}.", number) : ".");
    } else if (equals != std::string::npos) {
      values[table + line.substr(0, equals)] = line.substr(equals + 3);
    }
  }
  return values;
}

}  // namespace

RunDir RunDir::create(const std::string& out_dir, const std::string& name, bool overwrite) {
  make_directories(out_dir);
  const std::string first = out_dir + "/" + name;
  if (overwrite && exists(first)) {
    if (!is_directory(first) ||
        (!is_empty(first) && !exists(first + "/.lock") && !exists(first + "/config.resolved.toml")))
      fail(Fault::usage, "{}: only a run directory can be overwritten; got something else", first);
    RunDir old = open(first);
    std::error_code error;
    for (auto& entry : fs::directory_iterator(first, error))
      if (entry.path().filename() != ".lock") fs::remove_all(entry.path(), error);
    if (error) fail(Fault::runtime, "{}: cannot be emptied; got {}", first, error.message());
    return old;
  }
  for (int k = 1;; k++) {
    const std::string path = k == 1 ? first : fmt::format("{}-{}", first, k);
    std::error_code error;
    if (!fs::create_directory(path, error)) {
      if (error) fail(Fault::runtime, "{}: cannot be created; got {}", path, error.message());
      continue;  // taken
    }
    return open(path);
  }
}

RunDir RunDir::open(const std::string& path) {
  if (!is_directory(path)) fail(Fault::data, "{}: must be a run directory; it does not exist", path);
  const int lock = take_lock(path);
  if (lock < 0)
    fail(Fault::runtime, "{}: only one process may train in a run directory; another one does", path);
  return RunDir(path, lock);
}

RunDir::RunDir(RunDir&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

RunDir::~RunDir() {
  if (lock_ >= 0) ::close(lock_);
}

bool is_training(const std::string& run) {
  const int descriptor = ::open((run + "/.lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool taken = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0;
  ::close(descriptor);
  return taken;
}

std::vector<std::pair<std::string, std::string>> data_places(const Task& task, const std::string& run) {
  std::vector<std::pair<std::string, std::string>> places;
  const auto files = task.files();
  std::uintmax_t total = 0;
  for (auto& [key, path] : files) total += size_of_tree(path);
  for (auto& [key, path] : files) {
    const fs::path source = fs::absolute(path).lexically_normal();
    places.emplace_back("data." + key, total > kKeepBytes
                                           ? source.string()
                                           : run + "data/" + key + source.extension().string());
  }
  return places;
}

void keep_data(const std::string& run, const Task& task) {
  const auto files = task.files();
  const auto places = data_places(task);
  for (std::size_t i = 0; i < files.size(); i++) {
    if (fs::path(places[i].second).is_absolute()) continue;
    const std::string target = run + "/" + places[i].second;
    make_directories(run + "/data");
    std::error_code error;
    fs::copy(files[i].second, target, fs::copy_options::overwrite_existing, error);
    if (error)
      fail(Fault::runtime, "{}: cannot be copied from {}; got {}", target, files[i].second, error.message());
  }
}

void keep_plugins(const std::string& run) {
  for (const std::string& file : loaded_plugins()) {
    make_directories(run + "/plugins");
    write_file_atomic(run + "/plugins/" + fs::path(file).filename().string(),
                      read_file(file, kMaxFileSize, Fault::usage));
  }
}

std::string plugin_places(const std::string& run) {
  std::string list;
  for (const std::string& file : loaded_plugins())
    list += (list.empty() ? "\"" : ", \"") + run + "plugins/" + fs::path(file).filename().string() + "\"";
  return "[" + list + "]";
}

std::string config_of_run(const std::string& run) {
  const std::string file = run + "/config.resolved.toml";
  if (!is_directory(run)) fail(Fault::data, "{}: must be a run directory; it does not exist", run);
  if (!exists(file)) fail(Fault::data, "{}: must exist in a run directory; the file is missing", file);
  return file;
}

std::string resolved_config(const Section& config,
                            const std::vector<std::pair<std::string, std::string>>& replaced) {
  std::string result, table;
  for (const std::string& line : split(config.dump(), '\n')) {
    if (!line.empty() && line[0] == '[') table = line.substr(1, line.find(']') - 1);
    std::string out = line;
    for (auto& [key, value] : replaced) {
      const std::size_t dot = key.rfind('.');
      const std::string name = dot == std::string::npos ? key : key.substr(dot + 1);
      if (table == (dot == std::string::npos ? "" : key.substr(0, dot)) && starts_with(line, name + " ="))
        out = name + " = " + value;
    }
    result += out + "\n";
  }
  while (ends_with(result, "\n\n")) result.pop_back();
  return result;
}

void write_run_checksums(const std::string& run) {
  std::vector<std::string> files{"config.toml",          "env.json",    "origins.json",
                                 "config.resolved.toml", "result.json", "projector_config.pbtxt"};
  for (const char* folder : {"data", "plugins", "projector"}) {
    std::error_code ignored;
    for (auto& entry : fs::recursive_directory_iterator(run + "/" + folder, ignored))
      if (entry.is_regular_file(ignored)) files.push_back(entry.path().lexically_relative(run).string());
  }
  std::sort(files.begin(), files.end());
  write_checksums(run, files);
}

void check_run_checksums(const std::string& run) {
  if (!exists(run + "/checksums.txt")) return;
  if (const auto problems = checksum_problems(run); !problems.empty())
    fail(Fault::data, "{} (or edited: values of a run are changed with resume --set)", problems.front());
}

std::string difference_of_run(const std::string& run, const std::string& text, const Task& task) {
  auto own = values_of(read_file(config_of_run(run), 1 << 20));
  for (const auto& [key, value] : values_of(text)) {
    const auto found = own.find(key);
    if (found == own.end()) return fmt::format("{} = {} (was not set)", key, value);
    if (found->second != value) return fmt::format("{} = {} (was {})", key, value, found->second);
    own.erase(found);
  }
  if (!own.empty()) return fmt::format("{} is not set (was {})", own.begin()->first, own.begin()->second);
  const std::string changed = changed_data(run, task);
  return changed.empty() ? "" : fmt::format("another content of {}", changed);
}

std::string newest_run(const std::string& out_dir, const std::string& name, const std::string& text,
                       const Task& task) {
  std::string best;
  fs::file_time_type best_time{};
  std::error_code error;
  for (auto& entry : fs::directory_iterator(out_dir, error)) {
    const std::string own = entry.path().filename().string();
    const bool named =
        own == name || (starts_with(own, name + "-") && own.size() > name.size() + 1 &&
                        own.find_first_not_of("0123456789", name.size() + 1) == std::string::npos);
    const std::string resolved = entry.path().string() + "/config.resolved.toml";
    if (!named || !exists(resolved) || !difference_of_run(entry.path().string(), text, task).empty())
      continue;
    const auto time = fs::last_write_time(resolved, error);
    if (best.empty() || time > best_time) best = entry.path().string(), best_time = time;
  }
  return best;
}

}  // namespace qkv
