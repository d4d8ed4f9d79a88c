// The replay of a training step with every value looked at.
#pragma once
#include "qkv/train/training.h"
#include "train/diagnosis.h"

namespace qkv {

/// What was not finite in the step that was just made: in its loss or gradients, or else in a parameter after
/// the update.
Diagnosis diagnose(Training& t, const StepReport& report);

/// Computes step `step` of a run once more, from its nearest whole checkpoint before, and looks at every
/// value; where a step before it is the first that is not finite, that one. Writes nothing. Throws a usage
/// error for a step that the run does not have.
Diagnosis why(Training& t, const std::string& run, std::int64_t step);

}  // namespace qkv
