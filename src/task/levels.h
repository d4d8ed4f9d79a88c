// Reference levels: what tasks share that compute them.
#pragma once
#include <functional>
#include <vector>

#include "data/kneser_ney.h"
#include "data/pair_corpus.h"
#include "data/token_corpus.h"
#include "task/common.h"

namespace qkv {

/// A task that learns sequences of tokens, over which n-grams can be counted.
struct TokenSequences {
  static constexpr Index kMost = 1 << 20;  ///< tokens; of more, parts are taken, evenly spread
  using Take = std::function<void(const std::vector<std::int32_t>& ids, std::size_t first)>;

  virtual ~TokenSequences() = default;
  /// Takes the ids of the sequences of a split, and the first place that is learned or has a loss. Returns
  /// how many tokens the split has in all.
  virtual Index sequences(Split split, const Take& take) = 0;

 protected:
  /// One in how many is taken.
  static Index stride(Index tokens) { return (tokens + kMost - 1) / kMost; }
};

/// Uniform, unigrams, bigrams, trigrams and 5-grams, counted on the training split, on the validation split.
std::vector<ReferenceLevel> ngram_levels(TokenSequences& task, Index vocab_size);
/// The rate of gzip for the texts, or their first million characters.
ReferenceLevel gzip_level(const std::vector<TextShare>& texts, double characters_per_token);

/// What is scored for pairs of texts by outputs that need no model: the source, the most frequent target, the
/// first words of the source, as many as are best for the training pairs. `scores` says how, and is empty.
/// Without those that score 0.
std::vector<ReferenceLevel> pair_levels(const std::vector<TextPair>& train, const std::vector<TextPair>& val,
                                        const TextScores& scores);

}  // namespace qkv
