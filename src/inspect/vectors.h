// Vectors: small measures as analyses and claims take them, in f64; how those of a word differ from text to
// text; those of a table.
#pragma once
#include <string>
#include <vector>

#include "data/word_space.h"
#include "qkv/train/experiment.h"
#include "tensor/linalg.h"

namespace qkv {

/// The largest |a - b|, elementwise, of equal shapes.
double largest_difference(const Tensor& a, const Tensor& b);
/// Euclidean length of all elements; of a - b.
double length_of(const Tensor& x);
double distance(const Tensor& a, const Tensor& b);
/// Sum of the products of elements.
double dot(const Tensor& a, const Tensor& b);
/// Cosine of the angle between two vectors; 0 where one has no length.
double cosine(const Tensor& a, const Tensor& b);
/// -sum p log p of probabilities.
double entropy(const Tensor& p);

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
