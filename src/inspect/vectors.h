// The vectors of words: how they differ from text to text, and those of a table.
#pragma once
#include <string>
#include <vector>

#include "data/word_space.h"
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

/// Words and vectors of a file of word2vec, or of a run: the rows of its parameter `table` ("" = the first
/// with a row per token) without those of special tokens. `checkpoint` and `sets` as for `load_experiment`.
WordVectors word_table(const std::string& path, const std::string& table,
                       const std::string& checkpoint = "best", const std::vector<std::string>& sets = {});
/// The row of a word, or a usage error that suggests a similar word.
int row_of(const WordSpace& space, const std::string& word);

}  // namespace qkv
