// RunLog: the records of metrics.jsonl, whole, damaged or still growing.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "log/jsonl.h"
#include "log/plot.h"

namespace qkv {

struct RunLog {
  std::string path = {}, name = {};
  Record start{}, end{};  ///< of empty type where the run has none (yet)
  std::vector<Record> train = {}, eval = {}, other = {};
  std::vector<std::string> problems = {};  ///< what is missing or damaged, one line each

  /// Adds a record where its type belongs.
  void add(Record record);
  bool ended() const { return end.type() == "end"; }
  /// Names of the numbers in the records, in the order they first occur, without step and clocks.
  std::vector<std::string> metrics() const;
  /// The values of a metric over the steps: "train" (training lines), or a split of the evaluations.
  Curve curve(const std::string& metric, const std::string& split) const;
  /// The evaluation that the run calls best, or null.
  const Record* best() const;
};

/// Reads what there is of a run directory, and more of it later. A data error only where there is no such
/// directory.
class RunLogReader {
 public:
  explicit RunLogReader(const std::string& run);
  /// Reads the records that came since; true if there were any. After a resumption that cut lines, all are
  /// read again.
  bool poll();
  const RunLog& log() const { return log_; }
  /// Adds to the problems what only matters in a run that no longer grows: no end, a torn line.
  RunLog finished() const;

 private:
  RunLog log_;
  std::string file_;
  std::unique_ptr<MetricsReader> reader_;
  std::uintmax_t size_ = 0;
};

RunLog read_run_log(const std::string& run);

/// The run directories that a path stands for, sorted: itself, or where it is a folder of runs (as train
/// --seeds and --each make them) those in it.
std::vector<std::string> runs_of(const std::string& path);
/// The logs of the runs of all these paths, with names that distinguish them: the last part of the path, and
/// as many before it as that takes.
std::vector<RunLog> read_run_logs(const std::vector<std::string>& paths);

}  // namespace qkv
