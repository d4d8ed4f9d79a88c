// The evaluation of a run on its validation split.
#pragma once
#include "train/run_logger.h"

namespace qkv {

struct Evaluation {
  bool best = false;      ///< the metric of [eval] is better than ever
  std::string nonfinite;  ///< the first metric that is not finite
};

/// Scores the validation split, keeps account of the best value so far, and records it all. `report`: of the
/// last step.
Evaluation validate(Training& t, RunLogger& log, const StepReport& report);

}  // namespace qkv
