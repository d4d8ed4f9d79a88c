// RunList: the runs of a folder and what is to say of each, followed while they grow.
#pragma once
#include <cmath>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "log/growth.h"
#include "log/run_log.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

struct RunSummary {
  std::string name;   ///< the path below the folder
  std::string path;   ///< with the folder
  std::string state;  ///< "training", "finished", "stopped early", "killed", "not begun", or why it ended
  std::string metric = {};
  Record start{}, last{};  ///< the first record, and the last of a training step
  std::int64_t steps = 0, max_steps = 0;
  struct {
    std::int64_t step = -1;
    double value = NAN;  ///< of `metric`
  } best = {};
  std::vector<double> course = {};  ///< `metric` at the evaluations of the validation split
  std::time_t date = 0;             ///< of the last record
  std::uint64_t version = 0;        ///< of the list, when this last changed
};

/// {"name", "state", "step", "max_steps", "metric", "best_value", "best_step"}, the last three where there is
/// a best one
Json json_of(const RunSummary& run);

/// Whether a directory is that of a run, perhaps one that has not begun.
bool is_run(const std::string& path);

/// Reads of each log only what has come since the last time.
class RunList {
 public:
  /// With `inside`, folders and logs that a link leads to outside of the folder are left out.
  explicit RunList(std::string folder, bool inside = false);
  void refresh();
  /// Looks only at the runs that go on: cheaper than `refresh`, and finds no new ones.
  void follow();

  const std::string& folder() const { return folder_; }
  /// By name, those of a folder together.
  const std::vector<const RunSummary*>& runs() const { return order_; }
  const RunSummary* find(const std::string& name) const;
  /// Grows with each change; `names` is the version when runs came or went last.
  std::uint64_t version() const { return version_; }
  std::uint64_t names() const { return names_; }
  /// Whether a path lies in the folder, links followed.
  bool holds(const std::string& path) const;

 private:
  struct Entry {
    RunSummary summary;
    std::uint64_t to = 0;
    std::string mark = {}, seen = {}, config = {};  // `seen` and `config`: when log and config changed last
    bool ended = false, present = true;
  };
  bool leads_out(const std::string& path) const;
  void collect(const std::string& folder, const std::string& below, int depth);
  void look(Entry& entry);
  static void read(Entry& entry, std::string_view lines);
  static void take(Entry& entry, const Record& record);

  std::string folder_, root_;
  bool inside_;
  std::map<std::string, Entry> entries_;
  std::vector<const RunSummary*> order_;
  std::uint64_t version_ = 0, names_ = 0;
};

}  // namespace qkv
