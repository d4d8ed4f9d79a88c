// Learning merges: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units"
// (ACL 2016).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "qkv/data/tokenizer.h"

namespace qkv {

/// A pair of symbols as one number; orders by left, then right.
inline std::uint64_t pair_key(int left, int right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

/// A word as letters, and how often it was seen.
struct SpeltWord {
  std::vector<std::string> letters;
  long count;
};

/// Merges the most frequent pair of neighbours, again and again, until there are wanted_size(config) tokens
/// or no pair is seen config.min_freq times; of equally frequent ones that with the lowest ids (left, then
/// right), so that the result does not depend on the order of the words. A merged token is the left one and
/// the right one without its first `prefix` bytes. `ids` and `tokens` hold the letters and grow; letters
/// without an id, or with one below 0, are not merged. `note` gets each merge. The pairs lie in a heap, and
/// each knows its words: a merge costs what it changes.
void learn_merges(const std::vector<SpeltWord>& words, const TokenizerConfig& config, std::size_t prefix,
                  std::unordered_map<std::string, int>& ids, std::vector<std::string>& tokens,
                  const std::function<void(int left, int right)>& note);

}  // namespace qkv
