// RunDir: the folder of a run, what is in it from the start, and who may write to it.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "qkv/base/config.h"
#include "qkv/base/json_fwd.h"
#include "qkv/task/task.h"

namespace qkv {

struct Experiment;

/// Holds the lock of a run directory, so that two trainers never write to one.
class RunDir {
 public:
  /// Creates `out_dir/name`, or `name-2`, `name-3`, ... when it exists; what a process left there before it
  /// held a run is emptied and taken. With `overwrite`, an existing one is emptied.
  static RunDir create(const std::string& out_dir, const std::string& name, bool overwrite);
  /// Makes one of this path, which must not exist, and fills it; where that throws, nothing is left.
  static RunDir make(const std::string& verb, const std::string& path,
                     const std::function<void(const RunDir&)>& fill);
  /// Writes what a new one holds; where that throws, the directory is removed.
  void fill(const std::function<void()>& write) const;
  /// Takes over an existing one. Throws when another process holds it.
  static RunDir open(const std::string& path);

  const std::string& path() const { return path_; }
  std::string name() const;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  RunDir(std::string path, Descriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  Descriptor lock_;  // none on file systems without locks
};

/// Whether a process trains in the run directory at this moment.
bool is_training(const std::string& run);

/// The data files of a task and the drawn attention: their keys, such as "data.train", and paths.
std::vector<std::pair<std::string, std::string>> data_files(const Task& task, const Section& config);
/// A data file (or folder), and where a run directory has it.
struct DataPlace {
  std::string key, source;  ///< "data.train" or, of a list, "data.mix[0]", and the file that it names
  /// The key without its index: "data.mix".
  std::string list() const { return key.substr(0, key.find('[')); }
  std::string place;  ///< "data/train.tsv" below the run directory, or an absolute path
  bool copied;        ///< data of more than 64 MiB stays where it is
};
std::vector<DataPlace> data_places(const Task& task, const Section& config);
/// Copies the data files to those places: see `copy_files`.
void keep_data(const std::string& run, const Task& task, const Section& config);

/// Writes what a new run directory has beside checkpoints and logs: its data and plug-ins, `config` (the text
/// of config.toml), `resolved` (that of config.resolved.toml), env.json, origins.json, checksums.
void write_run_files(const RunDir& run, const Experiment& e, const std::string& config,
                     const std::string& resolved, const std::vector<std::string>& command);

/// Copies the plug-ins of the process to RUN/plugins, so that the run needs nothing else.
void keep_plugins(const std::string& run);
/// The value of `plugins` as a run directory has it, with the way `run` to it, as TOML.
std::string plugin_places(const std::string& run = "");

/// The file that holds the resolved config of a run. Data errors where the directory or the file is missing.
std::string config_of_run(const std::string& run);
/// The resolved config with the values of some keys replaced by other TOML text, as it is kept in the run
/// directory.
std::string resolved_config(const Section& config,
                            const std::vector<std::pair<std::string, std::string>>& replaced);

/// The keys of a resolved config with their values as TOML: {"model.d_model", "64"}.
std::map<std::string, std::string> resolved_values(const std::string& text);
/// Whether a key can change what a run learns. Threads, caches, logs, captures and names cannot.
bool decides_result(const std::string& key);
/// A checksum of a data file, or of all files of a folder or manifest.
std::string content_checksum(const std::string& path);
/// A checksum of the weights that train.init_from names; "" where there are none.
std::string start_checksum(const Section& config);
/// Identifies the checkpoints of a run: a checksum of the config and data it starts with.
std::string make_run_id(const Section& config, const Task& task);

/// Checksums of what a run has beside its checkpoints and logs: configs, environment, data, plug-ins.
void write_run_checksums(const std::string& run);
/// Whether a run has its result, and the checksums that are written last.
bool is_finished(const std::string& run);
/// Throws a data error where one of these files that a run is made from is not what it was. (A run that was
/// killed while it changed them has no checksums.)
void check_run_checksums(const std::string& run);
/// Removes the checksums and what a run makes at its end, so that the other files may change.
void remove_derived(const std::string& run);

/// Whether a run may have this name: it must not lead out of the folder of runs. "" is the default name.
bool names_a_directory(const std::string& name);

/// What keeps a run directory from being a run of `config` (whose resolved text is `text`) with the data of
/// `task`: the first key that differs and decides the result, "train.max_steps = 20 (was 2)", or the data; ""
/// where nothing does.
std::string difference_of_run(const std::string& run, const Section& config, const std::string& text,
                              const Task& task);

/// Newest run directory of `out_dir` whose name is `name` or `name-N` and that is a run of this config and
/// data; "" if none.
std::string newest_run(const std::string& out_dir, const std::string& name, const Section& config,
                       const std::string& text, const Task& task);

/// Version, source revision, CPU, BLAS, threads, seed and command of a run.
Json environment(const std::vector<std::string>& command, int threads, std::int64_t seed);
/// A value of env.json of a run; "" where there is none.
std::string env_value(const std::string& run, const std::string& key);
/// What computes matrix products and vectors differently from when the run began (its env.json), so that bits
/// may differ: "kernels Haswell (was SkylakeX)", or "".
std::string changed_arithmetic(const std::string& run);

}  // namespace qkv
