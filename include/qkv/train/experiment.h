// Experiment: task, parameters and model, built from a config or from a run directory; and their evaluation.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "qkv/base/json_fwd.h"
#include "qkv/task/task.h"
#include "qkv/train/config.h"

namespace qkv {

/// What a config describes: it owns its parts.
struct Experiment {
  Section config;
  RunConfig run = {};
  std::unique_ptr<Task> task = nullptr;
  std::unique_ptr<ParameterStore> parameters = nullptr;
  std::unique_ptr<Model> model = nullptr;
  TrainingTables tables = {};
};

/// Reads what every config may have, whatever it is used for, loads the plug-ins it names, and from now on
/// multiplies as `run.matmul` says.
void read_common(const Section& config, RunConfig& run);

/// Reads what else the config may hold, for those who do not train: then each of its keys has been read, and
/// what is left is unknown. Throws all problems of the config.
void finish_config(const Experiment& e);

/// Builds everything that a config names, after a walk through the shapes. `symbolic` makes shape-only
/// parameters. The tables of optimizer and schedule are left to the trainer, or to `finish_config`.
Experiment build_experiment(const Section& config, bool symbolic = false);

/// A trained model from its parts: config, tokenizer, what the task has kept; `load` gives the parameters
/// their values.
Experiment restore_experiment(const Section& config, std::shared_ptr<Tokenizer> tokenizer,
                              const Json& task_state, const std::function<void(ParameterStore&)>& load);

/// The trained model of a run directory, or of one of its checkpoints: config, tokenizer, weights. `which` is
/// "best" (falls back to last), "last" or "step-000100". Damage is a data error, an unknown key in `sets` a
/// usage error. Data sets are read only on first use.
Experiment load_experiment(const std::string& run_or_checkpoint, const std::string& which = "best",
                           const std::vector<std::string>& sets = {});

/// Scores all examples of a split, or with `examples` > 0 that many, spread evenly; batch by batch over the
/// process's workers. Batches are merged in order, so that the result does not depend on the number of
/// threads. `samples` > 0: what is costly is scored on that many examples of the split only, spread evenly
/// ("sampled" in the batches). A data error when the split is empty. `stop` is called before each batch, by
/// any thread: once it returns true, the remaining batches are skipped.
Metrics evaluate(Task& task, const Model& model, Split split, std::int64_t batch_size,
                 std::int64_t samples = 0, std::int64_t examples = 0, const std::function<bool()>& stop = {});

}  // namespace qkv
