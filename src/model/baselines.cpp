#include "model/baselines.h"

#include "model/word_vectors.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/embedding.h"

namespace qkv {

QKV_REGISTER(Model, "static", StaticModel,
             "the target word's own vector and a classifier: cannot see the context");
QKV_REGISTER(Model, "bag-of-words", BagOfWords,
             "mean of the word vectors and a classifier: cannot see the order");

static BaselineConfig read_baselines(const Section& section, const DataShape& shape) {
  BaselineConfig c;
  section.read(c);
  check_embedding(section, c.embedding, shape);
  return c;
}

Baseline::Baseline(const Scope& s, const Section& section, const DataShape& shape)
    : config(read_baselines(section, shape)),
      embed(s / "embed", config.embedding, shape.vocab_size, shape.ngram_buckets, config.d_model),
      head(s / "head", config.d_model, shape.n_class) {}

Var StaticModel::forward(const Batch& batch) const {
  const Var own = select_positions(word_vectors(embed, batch), batch.at("target"));  // [B, d]
  return head(dropout(own, config.dropout));
}

Var BagOfWords::forward(const Batch& batch) const {
  const Var mean = masked_mean(word_vectors(embed, batch), batch.at("keep"));  // [B, d]
  return head(dropout(mean, config.dropout));
}

}  // namespace qkv
