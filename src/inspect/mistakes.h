// What a trained model says of the examples of a split, and where it is wrong.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

struct Mistake {
  std::string text;
  int label, answer;          ///< the right class, and the one that the model gives
  double probability, right;  ///< of the answer and of the right class
};

/// The first examples of a split, at most `kMaxExamples`.
struct ClassAnswers {
  static constexpr std::size_t kMaxExamples = 5000;
  std::size_t examples = 0, all = 0;  ///< of this many in the split
  Confusion confusion;
  std::vector<Mistake> mistakes;  ///< the surest first
};
/// None for tasks without classes or examples to show.
std::optional<ClassAnswers> class_answers(const Experiment& e, Split split);

}  // namespace qkv
