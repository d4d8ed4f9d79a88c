// Character n-grams of words, after fastText (Bojanowski et al., "Enriching word vectors with subword
// information", TACL 2017): what an encoder knows of a word it has never seen.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/tensor/tensor.h"

namespace qkv {

struct NgramConfig {
  int min = 3, max = 6;  ///< lengths in code points
  int buckets = 50000;   ///< ids are in [0, buckets)
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
