// What a head would do with words as they stand in the vocabulary (Elhage et al. 2021, "A mathematical
// framework for transformer circuits"): QK says which word looks for which, OV what a word that is looked at
// adds to the answer.
#pragma once
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

/// An entry of a matrix between words.
struct WordPair {
  std::string from, to;
  double score;
};

/// A matrix between words through the narrow head, and what it is like.
struct Circuit {
  std::vector<double> singular;  ///< values, [D] falling
  std::vector<WordPair> pairs;   ///< the largest entries
};

struct HeadCircuits {
  std::string layer;
  Index head;
  Circuit qk, ov;
};

/// Which heads, and how much of their circuits.
struct CircuitChoice {
  int layer = -1, head = -1;  ///< -1: all
  std::size_t pairs = 8;
  int words = 1000;  ///< the first, most frequent ones of the vocabulary
};

/// Usage errors for a model without learned attention, and for a layer or head that it has not.
std::vector<HeadCircuits> head_circuits(const Experiment& e, const CircuitChoice& choice);

}  // namespace qkv
