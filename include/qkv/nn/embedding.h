// TokenEmbedding: the representation of words at the input.
#pragma once
#include "qkv/base/config.h"
#include "qkv/nn/parameter.h"

namespace qkv {

/// How words become vectors: see TokenEmbedding.
enum class EmbeddingKind { learned, one_hot, word_ngrams };
inline std::vector<std::string> names_of(EmbeddingKind) {
  return {"learned", "one-hot", "word+ngrams"};
}

/// ids [B, T] -> [B, T, d]. Kinds:
/// - "learned": a row of a table per word;
/// - "one-hot": the unit vector of the word, d = vocabulary size, no parameters;
/// - "word+ngrams": the word's row plus the mean of its character n-gram rows (Bojanowski et al. 2017), so
///   that an unknown word still has a meaningful vector.
struct TokenEmbedding {
  TokenEmbedding(const Scope& s, EmbeddingKind kind, Index vocabulary, Index ngram_buckets, Index width);
  /// `ngram_ids` [N] and `ngram_offsets` [B * T + 1] list the n-grams of each position; only for
  /// "word+ngrams". All i32. Throws `embedding: id must be in [0, V); got ..`.
  Var operator()(const Tensor& ids, const Tensor& ngram_ids = {}, const Tensor& ngram_offsets = {}) const;

  bool one_hot;
  Index vocabulary;
  Dtype dtype;
  Parameter weight, ngrams;
  std::string path;
};

}  // namespace qkv
