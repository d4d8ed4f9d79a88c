// Character n-grams of words, after fastText (Bojanowski et al., "Enriching word vectors with subword
// information", TACL 2017): what an encoder knows of a word it has never seen.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/base/config_field.h"
#include "qkv/tensor/tensor.h"

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

/// The n-grams of many words: those of word i are ids[offsets[i] ... offsets[i + 1] - 1].
struct NgramTable {
  Tensor ids;      ///< i32 [N]
  Tensor offsets;  ///< i32 [words + 1]
};

/// 32-bit FNV-1a.
std::uint32_t fnv1a(std::string_view bytes);

/// The n-grams of `<word>` (with the brackets) as text, by start, then by length. A single bracket is none.
std::vector<std::string> ngrams_of(std::string_view word, const NgramConfig& config);
/// Appends their ids, fnv1a(n-gram) mod buckets; does not allocate when `ids` has room.
void append_ngrams(std::string_view word, const NgramConfig& config, std::vector<int>& ids);
/// The table of a vocabulary or of the surface forms of a batch.
NgramTable ngram_table(const std::vector<std::string>& words, const NgramConfig& config);

}  // namespace qkv
