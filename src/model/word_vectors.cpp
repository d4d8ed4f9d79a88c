#include "qkv/model/word_vectors.h"

namespace qkv {

Var word_vectors(const TokenEmbedding& embed, const Batch& batch) {
  const bool ngrams = embed.ngrams.defined();
  return embed(batch.at("ids"), ngrams ? batch.at("ngram_ids") : Tensor(),
               ngrams ? batch.at("ngram_offsets") : Tensor());
}

void check_embedding(const Section& model, const std::string& kind, const DataShape& shape) {
  if (kind == "word+ngrams" && shape.ngram_buckets == 0)
    model.report("embedding",
                 "must not be \"word+ngrams\" without n-grams in the data; got data.ngram_buckets = 0");
}

}  // namespace qkv
