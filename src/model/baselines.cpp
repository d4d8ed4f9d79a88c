#include "qkv/model/baselines.h"

#include "qkv/ops/dropout.h"
#include "qkv/ops/pool.h"

namespace qkv {

QKV_REGISTER(Model, "static", StaticModel,
             "the target word's own vector and a classifier: cannot see the context");
QKV_REGISTER(Model, "bag-of-words", BagOfWords,
             "mean of the word vectors and a classifier: cannot see the order");

template <class M>
static void build(M& model, const Scope& s, const Section& section, const DataShape& shape) {
  section.read(model.config);
  const BaselineConfig& c = model.config;
  model.embed.emplace(s / "embed", c.embedding, shape.vocab_size, shape.ngram_buckets, c.d_model);
  model.head.emplace(s / "head", c.d_model, shape.n_class);
}

static Var vectors(const TokenEmbedding& embed, const Batch& batch) {  // [B, T, d]
  const bool ngrams = embed.ngrams.defined();
  return embed(batch.at("ids"), ngrams ? batch.at("ngram_ids") : Tensor(),
               ngrams ? batch.at("ngram_offsets") : Tensor());
}

StaticModel::StaticModel(const Scope& s, const Section& section, const DataShape& shape) {
  build(*this, s, section, shape);
}

Var StaticModel::forward(const Batch& batch) const {
  Var own = select_positions(vectors(*embed, batch), batch.at("target"));  // [B, d]
  return (*head)(dropout(own, config.dropout));
}

BagOfWords::BagOfWords(const Scope& s, const Section& section, const DataShape& shape) {
  build(*this, s, section, shape);
}

Var BagOfWords::forward(const Batch& batch) const {
  Var mean = masked_mean(vectors(*embed, batch), batch.at("keep"));  // [B, d]
  return (*head)(dropout(mean, config.dropout));
}

}  // namespace qkv
