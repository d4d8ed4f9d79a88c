// One training from its first step to its result.
#pragma once
#include <string>
#include <vector>

#include "qkv/train/training.h"
#include "train/run_dir.h"

namespace qkv {

/// How a run begins.
struct Start {
  bool resume = false, check_expect = false;
  std::vector<std::string> changes;  ///< of the config, reported in the log
  std::string config;                ///< new config.resolved.toml of a resumed run, if it changes
};

/// Trains in `run`, writing to terminal, train.log, metrics.jsonl and event files; scores the best
/// checkpoint, and writes result.json. Returns the exit code.
int run_training(Training& t, RunDir& run, const Start& start);

}  // namespace qkv
