// Diagnosis: what `qkv why` reports of a training step, and a diverged run of its last step; found by a
// replay of the step in which every value is looked at.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "qkv/train/training.h"

namespace qkv {

struct Diagnosis {
  struct Example {
    int number = 0;  ///< in the training split
    std::string text;
    double loss = 0, grad_norm = 0;  ///< of the example alone
  };
  struct Source {
    std::string op, layer;
  };

  std::int64_t step = 0;
  double loss = 0, grad_norm = 0;
  /// "forward", "backward", "reduce" (adding up the gradients), "update", or "" where all is finite.
  std::string pass;
  Source source;
  std::string value;                    ///< "nan", "inf" or "-inf"
  std::string where;                    ///< range of the tensor that is not finite
  std::vector<std::string> inputs;      ///< ranges of what went into the op
  std::vector<std::string> parameters;  ///< those of the op, else those that come before it
  std::vector<Example> examples;        ///< whose values are not finite; of a finite step, by their gradients
  std::size_t batch = 0;                ///< examples of the step
  std::vector<std::string> checked_from;  ///< how the state before the step was reached

  bool finite() const { return pass.empty(); }
  /// "inf from op 'exp' (forward, layers.1), parameter 'layers.1.gain', training example 17"
  std::string summary() const;
  /// "17, 23, 4 and 5 more"
  std::string example_list() const;
  /// Several lines for a person.
  std::string text() const;
  Json json() const;
};

/// The beginning of a training example in quotes, as its tokens say it; "" where they have no texts.
std::string training_text(const Task& task, int number);

/// What was not finite in the step that was just made: in its loss or gradients, or else in a parameter after
/// the update.
Diagnosis diagnose(Training& t, const StepReport& report);

/// Computes step `step` of a run once more, from its nearest whole checkpoint before, and looks at every
/// value; where a step before it is the first that is not finite, that one. Writes nothing. Throws a usage
/// error for a step that the run does not have.
Diagnosis why(Training& t, const std::string& run, std::int64_t step);

}  // namespace qkv
