// What the table [expect] of a config says of the final metrics.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "qkv/base/config.h"

namespace qkv {

struct Expectation {
  std::string key, metric;  ///< "accuracy_min", "accuracy"
  std::string split;        ///< "test", or "val" where the results have no test
  bool least;               ///< the bound is a lower one
  double bound;
  std::optional<double> value;  ///< nothing where the results do not have the metric
  /// NaN misses every bound.
  bool met() const { return value && (least ? *value >= bound : *value <= bound); }
};

/// Those of `config`, with the values of `results` (as result.json has them: split -> metric -> value).
std::vector<Expectation> expectations(const Section& config, const Json& results);

}  // namespace qkv
