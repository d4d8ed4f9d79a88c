// Baselines without attention: what a static vector and a bag of words can and cannot distinguish.
#include "model/word_vectors.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/embedding.h"

namespace qkv {
namespace {

struct BaselineConfig {
  Index d_model = 32;
  double dropout = 0.0;
  EmbeddingKind embedding = EmbeddingKind::learned;
  void fields(FieldCollector& f) {
    f("d_model", d_model, "width of the word vectors", rule::positive);
    f("dropout", dropout, "probability of zeroing an activation while training", rule::dropping);
    f("embedding", embedding, "how a word is represented", rule::one_of({"learned", "word+ngrams"}));
  }
};

/// Word vectors and a classifier of what `read` makes of them.
struct Baseline : Model {
  Baseline(const Scope& s, const Section& section, const DataShape& shape)
      : config(section.read<BaselineConfig>()),
        embed(s / "embed", config.embedding, shape.vocab_size, shape.ngram_buckets, config.d_model),
        head(s / "head", config.d_model, shape.n_class) {
    check_embedding(section, config.embedding, shape);
  }
  Var forward(const Batch& batch) const override {
    return head(dropout(read(word_vectors(embed, batch), batch), config.dropout));
  }
  virtual Var read(const Var& words, const Batch& batch) const = 0;  // [B, T, d] -> [B, d]

  BaselineConfig config;
  TokenEmbedding embed;
  Linear head;
};

/// Sees only the target word's own vector: the same answer for every sentence with the same form of it.
/// Batch: as word_vectors, and target [B]. Logits [B, n_class].
struct StaticModel : Baseline {
  using Baseline::Baseline;
  Var read(const Var& words, const Batch& batch) const override {
    return select_positions(words, batch.at("target"));
  }
};

QKV_REGISTER(Model, "static", StaticModel,
             "the target word's own vector and a classifier: cannot see the context");

/// Sees the mean of all word vectors of the text: no order, no target (Joulin et al. 2017).
/// Batch: as word_vectors, and keep [B, T] (1 = a word, 0 = padding). Logits [B, n_class].
struct BagOfWords : Baseline {
  using Baseline::Baseline;
  Var read(const Var& words, const Batch& batch) const override {
    return masked_mean(words, batch.at("keep"));
  }
};

QKV_REGISTER(Model, "bag-of-words", BagOfWords,
             "mean of the word vectors and a classifier: cannot see the order");

}  // namespace
}  // namespace qkv
