// Baselines without attention: what a static vector and a bag of words can and cannot distinguish.
#pragma once
#include "qkv/model/model.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/linear.h"

namespace qkv {

struct BaselineConfig {
  Index d_model = 32;
  double dropout = 0.0;
  EmbeddingKind embedding = EmbeddingKind::learned;
  template <class F>
  void fields(F& f) {
    f("d_model", d_model, "width of the word vectors", rule::positive);
    f("dropout", dropout, "probability of zeroing an activation while training", rule::dropping);
    f("embedding", embedding, "how a word is represented", rule::one_of({"learned", "word+ngrams"}));
  }
};

/// Word vectors and a classifier; what lies between is left to the two models.
struct Baseline : Model {
  Baseline(const Scope& s, const Section& section, const DataShape& shape);

  BaselineConfig config;
  TokenEmbedding embed;
  Linear head;
};

/// Sees only the target word's own vector: the same answer for every sentence with the same form of it.
/// Batch: as word_vectors, and target [B]. Logits [B, n_class].
struct StaticModel : Baseline {
  using Baseline::Baseline;
  Var forward(const Batch& batch) const override;
};

/// Sees the mean of all word vectors of the text: no order, no target (Joulin et al. 2017).
/// Batch: as word_vectors, and keep [B, T] (1 = a word, 0 = padding). Logits [B, n_class].
struct BagOfWords : Baseline {
  using Baseline::Baseline;
  Var forward(const Batch& batch) const override;
};

}  // namespace qkv
