// Character n-grams of words, after fastText (Bojanowski et al., "Enriching word vectors with subword
// information", TACL 2017): what an encoder knows of a word it has never seen.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/base/config_field.h"
#include "qkv/base/error.h"

namespace qkv {

struct NgramConfig {
  int min = 3, max = 6;
  int buckets = 50000;
  template <class F>
  void fields(F& f) {
    f("min", min, "length of the shortest n-grams in characters, word borders included", rule::positive);
    f("max", max, "length of the longest", rule::positive);
    f("buckets", buckets, "number of ids the n-grams are hashed to", rule::positive);
  }
};

/// 32-bit FNV-1a.
std::uint32_t fnv1a(std::string_view bytes);

/// Appends the ids of the n-grams of `<word>` (with the brackets), by start, then by length: fnv1a(n-gram)
/// mod buckets. A single bracket is no n-gram. Does not allocate when `ids` has room.
void append_ngrams(std::string_view word, const NgramConfig& config, std::vector<int>& ids);

}  // namespace qkv
