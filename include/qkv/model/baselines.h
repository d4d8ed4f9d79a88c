// Baselines without attention: what a static vector and a bag of words can and cannot tell.
#pragma once
#include "qkv/model/model.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/linear.h"

namespace qkv {

struct BaselineConfig {
  Index d_model = 32;
  double dropout = 0.0;
  std::string embedding = "learned";
  template <class F>
  void fields(F& f) {
    f("d_model", d_model, "width of the word vectors", positive);
    f("dropout", dropout, "probability of zeroing an activation while training", probability);
    f("embedding", embedding, "what stands for a word", one_of({"learned", "word+ngrams"}));
  }
};

/// Sees only the target word's own vector: the same answer for every sentence with the same form of it.
struct StaticModel : Model {
  StaticModel(const Scope& s, const Section& section, const DataShape& shape);
  Var forward(const Batch& batch) const override;  // [B, n_class]

  BaselineConfig config;
  std::optional<TokenEmbedding> embed;
  std::optional<Linear> head;
};

/// Sees the mean of all word vectors of the text: no order, no target (Joulin et al. 2017).
struct BagOfWords : Model {
  BagOfWords(const Scope& s, const Section& section, const DataShape& shape);
  Var forward(const Batch& batch) const override;  // [B, n_class]

  BaselineConfig config;
  std::optional<TokenEmbedding> embed;
  std::optional<Linear> head;
};

}  // namespace qkv
