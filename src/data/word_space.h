// WordSpace: words and their vectors, queries, and the files of word2vec.
#pragma once
#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "qkv/tensor/tensor.h"

namespace qkv {

/// A word and its cosine with the query.
struct Neighbor {
  std::string word;
  double cosine;
};

/// Unit vectors by word. Immutable.
class WordSpace {
 public:
  /// `vectors` [V, d] (f32 or f64), a row per word; rows become unit vectors, those of no length stay 0.
  /// Words that occur twice, a shape that does not fit and numbers that are not finite are data errors that
  /// start with `where`.
  WordSpace(std::vector<std::string> words, const Tensor& vectors, const std::string& where);

  int size() const { return static_cast<int>(words_.size()); }
  Index width() const { return unit_.dim(1); }
  const std::string& word(int i) const { return words_[static_cast<std::size_t>(i)]; }
  /// Row of a word, or of its lower case where only that is known, or -1.
  int find(const std::string& word) const;
  double cosine(int a, int b) const;
  /// The `k` words nearest to a word by cosine, without itself.
  std::vector<Neighbor> nearest(int word, int k) const;
  /// a is to b as c is to ...: the words nearest to b - a + c, all of unit length, without a, b and c
  /// (Mikolov et al., 2013: 3CosAdd).
  std::vector<Neighbor> analogy(int a, int b, int c, int k) const;
  /// The answers of many such questions, the nearest word of each; as matrix products.
  std::vector<int> answers(const std::vector<std::array<int, 3>>& questions) const;

 private:
  void direction_of(const std::array<int, 3>& question, float* direction) const;
  std::vector<Neighbor> nearest_to(const std::vector<float>& direction, const std::vector<int>& without,
                                   int k) const;

  std::vector<std::string> words_;
  std::unordered_map<std::string, int> rows_;
  Tensor unit_;  // f32 [V, d]
};

/// A section of a file of analogy questions.
struct AnalogyScore {
  std::string section;
  int questions = 0, covered = 0, right = 0;
  double accuracy() const { return covered > 0 ? static_cast<double>(right) / covered : 0; }
};
/// Scores the questions "a b c d" of a file in which ": name" begins a section (questions-words.txt of
/// word2vec). A question is covered when all its words are known. Other lines are data errors.
std::vector<AnalogyScore> score_analogies(const WordSpace& space, const std::string& path);
/// All sections as one.
AnalogyScore total(const std::vector<AnalogyScore>& sections);

/// How well cosines order pairs as people do.
struct PairScore {
  int pairs = 0, covered = 0;
  double spearman = 0;  ///< rank correlation over the covered pairs; 0 for fewer than 2
};
/// Scores lines "word<TAB>word<TAB>number"; lines that begin with # are left out.
PairScore score_pairs(const WordSpace& space, const std::string& path);
/// Spearman's rank correlation; equal values share the mean of their ranks. NaN if a value is.
double spearman(const std::vector<double>& x, const std::vector<double>& y);

/// Words and vectors [V, d] (f32).
struct WordVectors {
  std::vector<std::string> words;
  Tensor vectors;
  std::string warning = {};  ///< of what was read: words that come twice, whose first vector counts
};
/// A file of word2vec: "V d" and a line feed, then V times a word, a space, and d numbers: as text with
/// spaces between and a line feed at the end, or (binary) as little-endian f32. Or one of GloVe: such text
/// without its first line. The file shows which it is. What is missing, too much, no number or not UTF-8 is
/// a data error that names the line and what was declared; memory is taken for what is there.
WordVectors read_word2vec(const std::string& path);
/// Writes such a file. Words with white space are data errors, as no reader could find where they end.
void write_word2vec(const std::string& path, const WordVectors& table, bool binary);

}  // namespace qkv
