// Models: the trained models of runs, asked as by predict and generate.
#pragma once
#include <atomic>
#include <mutex>
#include <optional>
#include <string>

#include "qkv/base/json_fwd.h"
#include "qkv/train/experiment.h"

namespace qkv {

class Models {
 public:
  /// An answer as page/model.js describes it, with the members that this task and model have: "prediction"
  /// (what predict or generate prints as JSON), "words", "read", "target", "written", "next", "attention".
  /// `options`: "checkpoint", and for models that continue texts "max_tokens", "temperature", "top_k",
  /// "top_p", "min_p", "seed". Errors are those of predict and generate.
  Json answer(const std::string& run, const std::string& text, const Json& options);
  /// report_data of one run; its diagnosis alone.
  Json report(const std::string& run);
  Json diagnosis(const std::string& run);
  /// Ends the texts that are being written.
  void stop() { stopping_ = true; }

 private:
  const Experiment& load(const std::string& run, const std::string& checkpoint);

  std::mutex mutex_;  // one model at a time: the numbers that models multiply by are those of the process
  std::string loaded_;
  std::optional<Experiment> model_;
  std::atomic<bool> stopping_{false};
};

}  // namespace qkv
