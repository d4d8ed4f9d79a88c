#include "qkv/nn/embedding.h"

#include "qkv/autograd/capture.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

TokenEmbedding::TokenEmbedding(const Scope& s, EmbeddingKind kind, Index vocabulary, Index ngram_buckets,
                               Index width)
    : one_hot(kind == EmbeddingKind::one_hot),
      vocabulary(vocabulary),
      dtype(s.store().dtype()),
      path(s.path()) {
  if (one_hot) return;
  weight = s.param("weight", {vocabulary, width}, init::vectors());
  if (kind == EmbeddingKind::word_ngrams) ngrams = s.param("ngrams", {ngram_buckets, width}, init::vectors());
}

Var TokenEmbedding::operator()(const Tensor& ids, const Tensor& ngram_ids,
                               const Tensor& ngram_offsets) const {
  LayerPath here(path);
  if (one_hot) return activation("out", qkv::one_hot(ids, vocabulary, dtype));
  Var x = embedding(ids, weight);  // [B, T, d]
  if (!ngrams.defined()) return activation("out", std::move(x));
  Var bags = embedding_bag(ngram_ids, ngram_offsets, ngrams);  // [B * T, d]
  return activation("out", x + reshape(bags, x.shape()));
}

}  // namespace qkv
