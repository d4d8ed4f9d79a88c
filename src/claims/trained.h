// TrainedModels: small models that claims train and share.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "qkv/tensor/safetensors.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// A model after its training, and what it started from.
struct TrainedModel {
  Experiment experiment;
  std::vector<NamedTensor> start;  ///< copies of the initial values

  /// What an evaluation of a split gives.
  Metrics metrics(Split split) const;
  /// One of these numbers, e.g. "accuracy".
  double metric(const std::string& name, Split split = Split::test) const;
  /// Value of a parameter now and at the start. Throws where there is none.
  Tensor value(const std::string& name) const;
  Tensor initial(const std::string& name) const;
};

/// Path of a config that comes with qkv: below share/qkv/configs beside the installed library, or beside the
/// one in the build folder. Throws a data error that says where it looked.
std::string shipped_config(const std::string& name);

/// Trains without leaving a trace on the disk: no run directory, no evaluations on the way; the last step
/// counts.
class TrainedModels {
 public:
  explicit TrainedModels(std::uint64_t seed) : seed_(seed) {}
  /// The model of a shipped config with these overrides, trained at the first call.
  const TrainedModel& shipped(const std::string& config, const std::vector<std::string>& sets = {});
  /// The same for a config given as text.
  const TrainedModel& text(const std::string& toml, const std::vector<std::string>& sets = {});

 private:
  const TrainedModel& train(const std::string& key, const std::function<Section()>& config);
  std::vector<std::string> with_seed(std::vector<std::string> sets) const;

  std::uint64_t seed_;
  std::map<std::string, std::unique_ptr<TrainedModel>> models_;
};

}  // namespace qkv
