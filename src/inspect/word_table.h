// The word vectors of a trained model or of a file of word2vec.
#pragma once
#include <string>
#include <vector>

#include "data/word_space.h"

namespace qkv {

/// Words and vectors of a file of word2vec, or of a run: the rows of its parameter `table` ("" = the first
/// with a row per token) without those of special tokens. `checkpoint` and `sets` as for `load_experiment`.
WordVectors word_table(const std::string& path, const std::string& table,
                       const std::string& checkpoint = "best", const std::vector<std::string>& sets = {});
/// The row of a word, or a usage error that suggests a similar word.
int row_of(const WordSpace& space, const std::string& word);

}  // namespace qkv
