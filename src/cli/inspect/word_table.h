// The word vectors that `inspect neighbors` and `inspect analogy` ask.
#pragma once
#include <string>

#include "cli/inspect.h"
#include "data/word_space.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

/// Words and vectors of a file of word2vec, or of a run: the rows of its parameter `table` ("" = the first
/// with a row per token) without those of special tokens.
WordVectors word_table(const Subject& subject, const std::string& table);
/// The row of a word, or a usage error that suggests similar words.
int row_of(const WordSpace& space, const std::string& word);

/// What `neighbors` and `analogy` share: how many words, of which table.
struct WordInspection : Inspection {
  void setup(Options& options) override;
  std::string table;
  int k = 10;
};
Json neighbors_json(const std::vector<Neighbor>& neighbors);
std::string neighbors_text(const std::vector<Neighbor>& neighbors);

}  // namespace qkv
