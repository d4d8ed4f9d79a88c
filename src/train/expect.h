// [expect]: bounds that a config puts on its own final metrics, e.g. accuracy_min = 0.95.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/config.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

/// Accepts the table [expect], whose keys are `METRIC_min` and `METRIC_max`; others are config errors, and so
/// are metrics that are not among those of the task, where it says which it has.
void skip_expectations(const Section& config, const std::vector<std::string>& metrics = {});
/// Compares the test metrics (validation, where there is no test split) with the bounds, prints each, and
/// returns 0 or, when one is missed, 1.
int check_expectations(const Section& config, const Json& metrics);

}  // namespace qkv
