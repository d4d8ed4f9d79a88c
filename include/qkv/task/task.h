// Task: data, loss, scoring and prediction of one problem.
#pragma once
#include <memory>
#include <string>

#include "qkv/base/json_fwd.h"
#include "qkv/data/tokenizer.h"
#include "qkv/model/model.h"
#include "qkv/task/metrics.h"

namespace qkv {

enum class Split { train, val, test };
const char* name_of(Split split);
/// "train" | "val" | "test"; throws a usage error otherwise.
Split split_from(const std::string& name);

/// A loss to differentiate: the sum over `count` examples or tokens.
struct Loss {
  Var sum;
  double count;
};

/// Where a task comes from: a config, and for a trained model what its checkpoint kept.
struct TaskInput {
  Section config;                        ///< the whole config
  std::shared_ptr<Tokenizer> tokenizer;  ///< null for a new run: trained on the training data
  const Json* state = nullptr;           ///< what `state()` gave, or null for a new run
  bool shape_only = false;  ///< `check`: sizes are wanted, training data is read, nothing is computed
};

struct Task {
  using Factory = std::unique_ptr<Task>(const TaskInput& input);
  virtual ~Task() = default;

  virtual DataShape shape() const = 0;
  /// Number of examples of a split; 0 when there is no such data. Loads the data when first asked.
  virtual Index examples(Split split) = 0;
  /// Length of an example in tokens, for bucketing.
  virtual Index length(Split split, int example) const = 0;
  /// Fills `batch` with the `n` examples at `indices`. `noise` is given while training, for word dropout and
  /// the like. Called by several threads at once.
  virtual void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const = 0;
  /// Real tokens (no padding) in a batch.
  virtual Index tokens(const Batch& batch) const = 0;
  virtual Loss loss(const Model& model, const Batch& batch) const = 0;
  virtual void score(const Model& model, const Batch& batch, Metrics& metrics) const = 0;
  /// The task's answer for one text, as an object with stable keys. `readable` is how a person reads it.
  virtual Json predict(const Model& model, const std::string& text) const = 0;
  virtual std::string readable(const Json& prediction) const = 0;
  /// What a checkpoint keeps beside the tokenizer.
  virtual Json state() const = 0;
  virtual const Tokenizer* tokenizer() const = 0;
  /// Data files, so that a run directory can keep copies: key of [data] -> path.
  virtual std::vector<std::pair<std::string, std::string>> files() const = 0;
  /// A batch of shape-only tensors, to walk the model without data.
  virtual Batch symbolic_batch(Index batch_size) const = 0;
  /// Facts about the data for the log, e.g. the rate of unknown words.
  virtual std::vector<std::pair<std::string, double>> facts() { return {}; }
};

QKV_DECLARE_REGISTRY(Task);

/// The task that [task] type names.
std::unique_ptr<Task> make_task(const TaskInput& input);

}  // namespace qkv
