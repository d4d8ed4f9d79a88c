// How the vector of a word differs from text to text.
#pragma once
#include <string>
#include <vector>

#include "qkv/train/experiment.h"
#include "tensor/linalg.h"

namespace qkv {

/// The places of a word in texts, n in all.
struct Occurrences {
  struct Place {
    std::string text;
    Index position;
  };
  std::vector<Place> places;
  Tensor vectors, fixed;          ///< [n, d] after the last layer and before the first
  Tensor cosines, fixed_cosines;  ///< [n, n] between them
  Pca plane;                      ///< of `vectors`; undefined tensors where there is but one
};
/// Usage errors where a text does not hold the word, or the model has no vector per word.
Occurrences occurrences_of(const Experiment& e, const std::string& word,
                           const std::vector<std::string>& texts);

}  // namespace qkv
