// Training runs as the verbs start them: run directory, logs, sinks, final evaluation.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"

namespace qkv {

struct TrainingRequest {
  std::string config;             ///< config file
  std::vector<std::string> sets;  ///< --set
  std::vector<std::string> command;
  bool resume = false;  ///< continue the newest run of the same name and configuration
  bool overwrite = false;
  bool check_expect = false;
  std::string parent;  ///< with --seeds, --folds, --each: the directory of the runs, else empty
  std::string name;    ///< with `parent`: name of the run in it
};

/// Trains, and returns the exit code. Writes result.json with the metrics of the best checkpoint.
int train_run(const TrainingRequest& request);
/// Throws what is wrong with a request's config and data, or, with `parent`, that its run is there and was
/// made from others; writes nothing.
void check_config(const TrainingRequest& request);
/// Continues a run directory. Values in `sets` become part of its config.
int resume_run(const std::string& run, const std::vector<std::string>& sets);

/// The runs of --seeds and --folds: they lie side by side in one directory.
struct ManyRuns {
  std::string parent;                               ///< ends with "-3seeds-5folds"
  std::vector<std::vector<TrainingRequest>> folds;  ///< of each seed
};
/// Those of a request. All are checked before any is trained.
ManyRuns runs_of_many(const TrainingRequest& request, int seeds, int folds);
/// Trains them, skips finished ones, and writes summary.json: mean, standard deviation and each value; folds
/// are pooled per seed. Returns the exit code.
int train_many(const TrainingRequest& request, const ManyRuns& runs);

/// The values of one key, as --set takes them.
struct EachValue {
  std::string key;
  std::vector<std::string> values;
};
/// Trains once for each value, of several keys once for each combination (with seeds and folds: so often), in
/// runs/NAME-each/, each named after the last part of its values. Skips what is finished, and writes
/// summary.json: the metrics of each, and their mean over values that are data, folds or seeds.
int train_each(const TrainingRequest& request, const std::vector<EachValue>& each, int seeds, int folds);

}  // namespace qkv
