// What the module does in its process: models that are loaded, and the training that runs.
#pragma once
#include <pybind11/pybind11.h>

#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "inspect/look.h"
#include "qkv/base/json_fwd.h"
#include "qkv/model/generate.h"
#include "qkv/train/experiment.h"

namespace py = pybind11;

using Texts = std::vector<std::string>;

/// Trains as the verbs do, and calls back for each record; the run directory. What the callback raises, or
/// Python for a signal, is thrown once the run is saved.
std::string train_config(const std::string& config, const std::string& text, const Texts& sets,
                         py::object callback, bool resume, bool overwrite, const Texts& command);
std::string resume_training(const std::string& run, const Texts& sets, py::object callback);

/// The process multiplies in one way, `run.matmul`: all models of a time must agree on it.
class MatmulUse {
 public:
  /// A usage error where others use another one.
  explicit MatmulUse(const qkv::Section& config);
  ~MatmulUse();
  MatmulUse(const MatmulUse&) = delete;
  MatmulUse& operator=(const MatmulUse&) = delete;
};

/// A trained model, for several threads. Computes without Python's lock.
class LoadedModel {
 public:
  LoadedModel(const std::string& run, const std::string& checkpoint, const Texts& sets);

  qkv::Json predict(const std::string& text) const;
  std::vector<qkv::Json> predict_all(const Texts& texts) const;
  qkv::Json generate(const std::string& prompt, const qkv::GenerateOptions& options, int beam,
                     bool allow_unk) const;
  qkv::Json evaluate(const std::string& split);
  qkv::Look look(const std::string& text);
  std::vector<qkv::NamedTensor> captured(const std::string& text, const Texts& names);

  std::vector<qkv::NamedTensor> parameters() const { return e_.parameters->named(); }
  const qkv::Tokenizer* tokenizer() const { return e_.task->tokenizer(); }
  Texts classes() const { return e_.task->classes(); }
  const std::string& config() const { return config_; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  MatmulUse use_;
  qkv::Experiment e_;
  std::string config_;
  std::mutex mutex_;  // evaluate, look and captured read config and data when first asked
};
