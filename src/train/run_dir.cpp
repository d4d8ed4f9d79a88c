#include "train/run_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>

#include "base/file.h"
#include "base/toml.h"
#include "qkv/base/plugin.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/config.h"
#include "train/checksums.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::uintmax_t kKeepBytes = 64u << 20;
// What a run is not made from, but makes at its end.
constexpr const char* kDerived[] = {"result.json", "projector_config.pbtxt", "projector/vectors.tsv",
                                    "projector/words.tsv"};

// An exclusive lock that ends with the process; nothing where another has it, no descriptor without locks.
std::optional<Descriptor> take_lock(const std::string& run) {
  Descriptor lock(::open((run + "/.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  if (!lock) fail(Fault::runtime, "{}: must be writable; got {}", run, std::strerror(errno));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) return std::nullopt;
  console().warn("{}: cannot be locked; got {} (nothing keeps a second process from training in it)", run,
                 std::strerror(errno));
  return Descriptor();
}

std::uintmax_t size_of_tree(const std::string& path) {
  std::error_code ignored;
  std::uintmax_t total = 0;
  if (is_manifest(path)) {
    for (const std::string& file : files_of_manifest(path)) total += fs::file_size(file, ignored);
    return total;
  }
  if (!is_directory(path)) return fs::file_size(path, ignored);
  for (const std::string& name : files_below(path)) total += fs::file_size(path + "/" + name, ignored);
  return total;
}

bool is_empty(const std::string& folder) {
  std::error_code ignored;
  return fs::is_empty(folder, ignored);
}

// A run directory that a process has left before it held a run, or an empty one.
bool holds_no_run(const std::string& path) {
  return is_directory(path) && !exists(path + "/config.resolved.toml") && !exists(path + "/checkpoints") &&
         (exists(path + "/.lock") || is_empty(path));
}

// Removes all but the lock; what makes it a run goes first.
void empty_run(const std::string& path) {
  std::error_code error;
  for (const char* name : {"/checkpoints", "/config.resolved.toml"})
    if (!error) fs::remove_all(path + name, error);
  for (auto& entry : fs::directory_iterator(path, error))
    if (entry.path().filename() != ".lock") fs::remove_all(entry.path(), error);
  if (error) fail(Fault::runtime, "{}: cannot be emptied; got {}", path, error.message());
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
    empty_run(first);
    return old;
  }
  for (int k = 1;; k++) {
    const std::string path = k == 1 ? first : fmt::format("{}-{}", first, k);
    std::error_code error;
    const bool fresh = fs::create_directory(path, error);
    if (error && !exists(path)) fail(Fault::runtime, "{}: cannot be created; got {}", path, error.message());
    if (!fresh && !holds_no_run(path)) continue;
    std::optional<Descriptor> lock = take_lock(path);
    // Another process may have come first; without locks, it may be at work.
    if (!lock || (!fresh && (!*lock || !holds_no_run(path)))) continue;
    if (!fresh) empty_run(path);
    return RunDir(path, std::move(*lock));
  }
}

RunDir RunDir::make(const std::string& verb, const std::string& path,
                    const std::function<void(const RunDir&)>& fill) {
  const fs::path target = fs::absolute(path.substr(0, path.find_last_not_of('/') + 1));
  if (exists(target.string())) fail(Fault::usage, "{}: {} must not exist yet", verb, target.string());
  RunDir made = create(target.parent_path().string(), target.filename().string(), false);
  made.fill([&] { fill(made); });
  return made;
}

void RunDir::fill(const std::function<void()>& write) const {
  try {
    write();
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(path(), ignored);
    throw;
  }
}

RunDir RunDir::open(const std::string& given) {
  std::string path = given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (!is_directory(path)) fail(Fault::data, "{}: must be a run directory; {}", path, not_a_directory(path));
  for (const char* file : {"/train.log", "/metrics.jsonl", "/captures/index.jsonl"})
    if (exists(path + file)) check_plain_file(path + file);
  std::optional<Descriptor> lock = take_lock(path);
  if (!lock)
    fail(Fault::runtime, "{}: only one process may train in a run directory; another one does", path);
  for (const char* folder : {"", "/captures", "/plugins", "/projector"}) remove_left_overs(path + folder);
  return RunDir(path, std::move(*lock));
}

std::string RunDir::name() const {
  std::error_code error;
  return fs::canonical(path_, error).filename().string();
}

bool is_training(const std::string& run) {
  const Descriptor lock(::open((run + "/.lock").c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  return lock && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

std::vector<std::pair<std::string, std::string>> data_files(const Task& task, const Section& config) {
  std::vector<std::pair<std::string, std::string>> files;
  for (auto& [key, path] : task.files()) files.emplace_back("data." + key, path);
  const std::string drawn =
      config.section("train").section("attention_loss").read<AttentionLossConfig>().file;
  if (!drawn.empty()) files.emplace_back("train.attention_loss.file", drawn);
  return files;
}

std::vector<DataPlace> data_places(const Task& task, const Section& config) {
  const auto files = data_files(task, config);
  std::uintmax_t total = 0;
  for (auto& [key, path] : files) total += size_of_tree(path);
  const bool copied = total <= kKeepBytes;
  std::vector<DataPlace> places;
  for (auto& [key, path] : files) {
    const fs::path source = fs::absolute(path).lexically_normal();
    std::string type = source.extension().string();
    if (type == ".gz") type = source.stem().extension().string() + type;
    std::string name = replace_all(replace_all(key.substr(key.find('.') + 1), "[", "-"), "]", "");
    name = replace_all(name, ".", "-");
    places.push_back({key, path, copied ? "data/" + name + type : source.string(), copied});
  }
  return places;
}

void keep_data(const std::string& run, const Task& task, const Section& config) {
  for (const DataPlace& data : data_places(task, config)) {
    if (!data.copied) continue;
    make_directories(run + "/data");
    copy_files(data.source, run + "/" + data.place);
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
  std::vector<std::string> list;
  for (const std::string& file : loaded_plugins())
    list.push_back(toml_string(run + "plugins/" + fs::path(file).filename().string()));
  return "[" + join(list, ", ") + "]";
}

std::string config_of_run(const std::string& run) {
  const std::string file = run + "/config.resolved.toml";
  if (!is_directory(run)) fail(Fault::data, "{}: must be a run directory; {}", run, not_a_directory(run));
  if (exists(run + "/state.json")) fail(Fault::data, "{}: must be a run directory; got a checkpoint", run);
  if (!exists(file)) fail(Fault::data, "{}: must exist in a run directory; the file is missing", file);
  return file;
}

void write_run_checksums(const std::string& run) {
  std::set<std::string> files{"config.toml", "env.json", "origins.json", "config.resolved.toml"};
  files.insert(std::begin(kDerived), std::end(kDerived));
  for (const std::string folder : {"data", "plugins", "projector"})
    for (const std::string& name : files_below(run + "/" + folder)) files.insert(folder + "/" + name);
  write_checksums(run, {files.begin(), files.end()});
}

bool is_finished(const std::string& run) {
  return exists(run + "/result.json") && exists(run + "/checksums.txt") &&
         read_file(run + "/checksums.txt").find("  result.json\n") != std::string::npos;
}

void check_run_checksums(const std::string& run) {
  if (!exists(run + "/checksums.txt")) return;
  for (const std::string& problem : checksum_problems(run)) {
    const bool derived = std::any_of(std::begin(kDerived), std::end(kDerived), [&](const char* name) {
      return starts_with(problem, run + "/" + name + ":");
    });
    if (!derived) fail(Fault::data, "{} (or edited: values of a run are changed with resume --set)", problem);
  }
}

void remove_derived(const std::string& run) {
  // The list first: what it says does not hold while its files change.
  std::error_code error;
  fs::remove(run + "/checksums.txt", error);
  for (const char* name : kDerived)
    if (!error) fs::remove(run + "/" + name, error);
  if (error) fail(Fault::runtime, "{}: the results so far cannot be removed; got {}", run, error.message());
}

}  // namespace qkv
