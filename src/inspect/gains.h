// Where a model's gain over unigrams comes from.
#pragma once
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

struct GainBin {
  std::string name = {};
  Index tokens = 0;
  /// Sums over the tokens: the loss of the model, and that of unigrams, how often each occurs in training.
  double nats = 0, unigrams = 0;
  void add(const GainBin& other) { tokens += other.tokens, nats += other.nats, unigrams += other.unigrams; }
};

/// The losses of all tokens of a split, grouped `by` their "class" (letters, digits, ..), "position" in the
/// window, "frequency" in the training data, or the "distance" to where the token came before in the window.
/// One list for each. A usage error for a task without texts.
std::vector<std::vector<GainBin>> gains_of(const Experiment& e, Split split,
                                           const std::vector<std::string>& by);

}  // namespace qkv
