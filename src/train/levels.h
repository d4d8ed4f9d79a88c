// The reference levels of a run: RUN/levels.json, and when the run passes them.
#pragma once
#include <string>
#include <vector>

#include "log/run_log.h"
#include "qkv/base/json_fwd.h"
#include "qkv/log/metrics.h"
#include "qkv/task/task.h"

namespace qkv {

/// [{"name", "metric", "value", "meaning"}]
Json json_of(const std::vector<ReferenceLevel>& levels);
/// Those of a run directory; none, and a problem, where the file is damaged; none where there is no file.
std::vector<ReferenceLevel> read_levels(const std::string& run, std::vector<std::string>& problems);
/// The same; where there is no good file, or with `anew`, they are computed and written.
std::vector<ReferenceLevel> levels_of_run(Task& task, const std::string& run, bool anew = false);
/// Lines for TensorBoard beside the curves of the run: each level is a run RUN/levels/NAME, with the values
/// `val/METRIC` at the steps 0 and `last`. Nothing where they are there.
void write_level_lines(const std::vector<ReferenceLevel>& levels, const std::string& run, std::int64_t last);

/// Which levels the evaluations of the validation split have passed.
class LevelWatch {
 public:
  explicit LevelWatch(std::vector<ReferenceLevel> all)
      : levels(std::move(all)), passed(levels.size(), std::int64_t{-1}) {}
  /// Of each metric, the hardest level that this record is the first to pass.
  std::vector<const ReferenceLevel*> add(const Record& record);

  const std::vector<ReferenceLevel> levels;
  std::vector<std::int64_t> passed;  ///< the step of each, or -1
};

/// Reports on the console which level is passed.
class LevelSink : public MetricSink {
 public:
  /// What the run has passed before is not reported again.
  LevelSink(std::vector<ReferenceLevel> levels, const std::string& run);
  void write(const Record& record) override;

 private:
  LevelWatch watch_;
};

/// The levels of a metric, if all of these runs have the same.
std::vector<PlotLevel> shared_levels(const std::vector<RunLog>& logs, const std::string& metric);
/// The levels of these metrics, with the step at which the run passed each; "" where there are none.
std::string level_table(const RunLog& log, const std::vector<std::string>& metrics);

}  // namespace qkv
