// The circuits of a run for the terminal and as a picture.
#pragma once
#include <string>

#include "log/charts.h"
#include "log/run_log.h"
#include "train/circuits.h"

namespace qkv {

/// When heads and the paths between them were born, and what the loss gains without them.
std::string circuit_table(const RunLog& log);
/// What the loss gains without the heads of each role, over the steps.
LineChart circuit_chart(const RunLog& log);

}  // namespace qkv
