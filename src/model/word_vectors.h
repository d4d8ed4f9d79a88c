// The words of a batch as vectors: what all models that read text begin with.
#pragma once
#include "qkv/model/model.h"
#include "qkv/nn/embedding.h"

namespace qkv {

/// Word vectors [B, T, d] of a batch: `ids` [B, T], and `ngram_ids` and `ngram_offsets` where the embedding
/// has n-grams. Where tokens carry numbers, "values" [B, T] (f32), they lie along the vector of the last
/// token of the vocabulary: x_t = E[id_t] + v_t E[V - 1].
Var word_vectors(const TokenEmbedding& embed, const Batch& batch);

/// Reports a kind of embedding that the data cannot serve, at model.embedding.
void check_embedding(const Section& model, EmbeddingKind kind, const DataShape& shape);

}  // namespace qkv
