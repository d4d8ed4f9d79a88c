// Checks a config without training: keys, values, data files, shapes and masks.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/config.h"
#include "qkv/train/optimizer.h"
#include "task/survey.h"

namespace qkv {

/// How many parameters there are, how many of them are trained, and in how many adapters.
struct ModelSize {
  std::int64_t parameters = 0, trained = 0;
  int adapters = 0;
  std::vector<Optimizer::Assignment> assignments = {};  ///< with [[optimizer.groups]]: who changes them
  /// "1,024 parameters, 96 of them trained in 4 adapters".
  std::string text() const;
};

/// What a check found. Sizes are 0 where problems kept them from being known.
struct CheckReport {
  explicit CheckReport(Section c) : config(std::move(c)) {}

  Section config;                     ///< with every table read
  std::vector<std::string> problems;  ///< of the config, "file:line:col: rule; got .." where it has a place
  std::vector<std::string> data_problems;    ///< of the data files
  std::vector<std::string> warnings, notes;  ///< warnings: valid, but perhaps not intended
  ModelSize size;
  std::int64_t steps = 0, batch_size = 0;
  std::int64_t eval_every = 0;                        ///< steps; 0 without validation data
  std::size_t memory_bytes = 0;                       ///< estimate for training
  DataSurvey data;                                    ///< of a task that is Surveyed, where it was asked for
  std::vector<std::pair<std::string, double>> facts;  ///< facts of the task, if it was built

  bool ok() const { return problems.empty() && data_problems.empty(); }
};

/// Warnings about the data of a task: truncated examples.
std::vector<std::string> data_warnings(Task& task);

/// Reads every table, builds the task and a model without storage, and walks through it. Goes on after a
/// problem, so that all are found at once. Throws only if the file cannot be read or is no TOML. With
/// `survey`, also looks at the examples.
CheckReport check_config(const Section& config, bool survey = false);

}  // namespace qkv
