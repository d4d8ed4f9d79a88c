// Where two runs part, record by record.
#pragma once
#include <optional>
#include <string>

#include "qkv/log/metrics.h"

namespace qkv {

/// Records of one step that differ.
struct Parting {
  std::int64_t step;
  std::string type, name;  ///< "train" or "eval"; the value that differs
  double a, b;
};

struct Course {
  std::int64_t same = 0;  ///< records of equal steps before the parting
  std::optional<Parting> parting;
};

/// Training lines and evaluations of both runs, in the order of their steps; clocks do not count.
Course course_of(const std::string& a, const std::string& b);

/// Whether the weights of the newest checkpoints are the same, byte by byte; none where one is missing.
std::optional<bool> same_weights(const std::string& a, const std::string& b);

}  // namespace qkv
