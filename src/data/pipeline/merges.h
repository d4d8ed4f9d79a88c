// Learning merges: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units"
// (ACL 2016).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace qkv {

/// A pair of symbols as one number; orders by left, then right.
inline std::uint64_t pair_key(int left, int right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

/// A word as symbols, and how often it was seen.
struct CountedWord {
  std::vector<int> symbols;
  long count;
};

/// Merges the most frequent pair of neighbours, again and again; of equally frequent ones that with the
/// lowest ids (left, then right), so that the result does not depend on the order of the words. `make` gives
/// the symbol of a merged pair, new or not, or -1 to end. Ends too when no pair is seen `min_count` times.
/// The pairs lie in a heap, and each knows its words: a merge costs what it changes.
void learn_merges(std::vector<CountedWord>& words, long min_count,
                  const std::function<int(int left, int right)>& make);

}  // namespace qkv
