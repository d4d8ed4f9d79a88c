// Blame: how likely a model's answer is, as a question to its lessons (train/lessons.h); and training
// examples whose label is probably wrong.
#pragma once
#include <vector>

#include "inspect/asked.h"
#include "train/lessons.h"

namespace qkv {

/// log(p / (1 - p)) of the answer to a text.
Question log_odds_of(const Experiment& e, const Asked& asked);

/// The `count` smallest of the effects, or with `against` the largest: the examples without which the answer
/// would lose, or gain, most. Only those that do.
std::vector<std::int64_t> blamed(const std::vector<double>& effects, std::size_t count, bool against);
/// So many different training examples, drawn with a seed.
std::vector<std::int64_t> random_examples(Task& task, std::size_t count, std::int64_t seed);
/// The sum of the effects of some examples.
double effect_of(const std::vector<double>& effects, const std::vector<std::int64_t>& examples);

/// A training example that the model is slow to learn.
struct Suspect {
  std::int64_t example;
  int label, likely;   ///< the class it has, and the one that the model gives it on average
  double probability;  ///< of its label: geometric mean
};
/// Makes the first two fifths of a run again and asks at `looks` steps for the class of each training
/// example: the model learns a rule before it learns exceptions by heart (compare Pleiss et al. 2020, "area
/// under the margin"). Those that get another class on average, the least probable labels in front. A usage
/// error for a task without classes.
std::vector<Suspect> suspects(Training& t, int looks = 8);

}  // namespace qkv
