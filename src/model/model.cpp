#include "qkv/model/model.h"

#include "model/word_vectors.h"
#include "qkv/base/make.h"
#include "qkv/ops/arithmetic.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Model);

std::unique_ptr<Model> make_model(const Scope& scope, const Section& config, const DataShape& shape) {
  std::unique_ptr<Model> model = make<Model>(config, Model::kDefault, scope, config, shape);
  config.check();
  return model;
}

Var word_vectors(const TokenEmbedding& embed, const Batch& batch) {
  const bool ngrams = embed.ngrams.defined();
  const Tensor& ids = batch.at("ids");
  const Var x = embed(ids, ngrams ? batch.at("ngram_ids") : Tensor(),
                      ngrams ? batch.at("ngram_offsets") : Tensor());  // [B, T, d]
  const Tensor* values = batch.find("values");
  if (!values) return x;
  QKV_CHECK(!ngrams && values->shape() == ids.shape(),
            "word_vectors: values must be one per id, without n-grams; got values {}, ids {}",
            values->shape(), ids.shape());
  const Var unit = embed(Tensor::full({1, 1}, double(embed.vocabulary - 1), Dtype::i32));
  return x + unit * values->to(embed.dtype).reshape({ids.dim(0), ids.dim(1), 1});
}

void check_embedding(const Section& model, EmbeddingKind kind, const DataShape& shape) {
  if (kind == EmbeddingKind::word_ngrams && shape.ngram_buckets == 0)
    model.report(
        "embedding",
        "must not be \"word+ngrams\" without n-grams in the data; got data.ngram_buckets = 0 (try 20000)");
}

}  // namespace qkv
