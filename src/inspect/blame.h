// Blame: how likely a model's answer is, as a question to its lessons (train/lessons.h); and training
// examples whose label is probably wrong.
#pragma once
#include <string>
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

/// A training example that the model is slow to learn, or that the others contradict.
struct Suspect {
  std::int64_t example;
  int label, likely;   ///< the class it has, and the one that the models give it on average
  double probability;  ///< of its label: geometric mean, where those of all classes add up to 1
};
/// Makes the first two fifths of the steps of a config several times, each time in another order and without
/// another part of the examples, the last third of the times without those that are suspected so far; and
/// asks at six steps for the class of each example. A model learns a rule before it learns exceptions by
/// heart (compare Pleiss et al. 2020, "area under the margin"), and one that lacks an example cannot have
/// learned it by heart (Northcutt et al. 2021, "Confident learning"). Those that get another class on
/// average, the least probable labels in front. A usage error for a task without classes.
std::vector<Suspect> suspects(const std::string& config, std::vector<std::string> sets = {},
                              int trainings = 7);

}  // namespace qkv
