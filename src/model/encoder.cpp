#include "model/encoder.h"

#include "model/word_vectors.h"
#include "qkv/autograd/capture.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"

namespace qkv {

void check_encoder(const Section& section, EncoderConfig& c, const DataShape& shape) {
  c.stack.vocab_size = shape.vocab_size;
  Index& d = c.stack.d_model;
  if (c.embedding == EmbeddingKind::one_hot && d == 0) d = shape.vocab_size;
  if (d == 0) {
    skip_layers(section);
    section.fail("d_model", "must be positive unless embedding = \"one-hot\"; got 0");
  }
  if (c.embedding == EmbeddingKind::one_hot && d != shape.vocab_size)
    section.report("d_model",
                   fmt::format("must be the vocabulary size {} (or 0) with embedding = \"one-hot\"; got {}",
                               shape.vocab_size, d));
  check_embedding(section, c.embedding, shape);
  check_position(section, c.position, c.stack.block.attention, d);
}

Encoder::Encoder(const Scope& s, const Section& section, const EncoderConfig& c, const DataShape& shape)
    : embed(s / "embed", c.embedding, shape.vocab_size, shape.ngram_buckets, c.stack.d_model),
      token_types(
          c.token_types == 0
              ? Parameter()
              : (s / "token_types").param("weight", {c.token_types, c.stack.d_model}, init::vectors())),
      position(s / "position", c.position, c.max_seq_len, c.stack.d_model, c.stack.block.attention),
      stack(s, section, c.stack) {}

Var Encoder::encode(const Batch& batch) const {
  const Tensor target = position.relative ? batch.at("target") : Tensor();
  const Var words = activation("static", word_vectors(embed, batch));  // [B, T, d]
  Var x = position(words, target);
  if (token_types.defined()) {
    const Tensor* types = batch.find("token_types");
    x = x + embedding(types ? *types : Tensor::full({1, 1}, 0, Dtype::i32), token_types);
  }
  Context context;
  context.ids = batch.at("ids");
  context.mask.key_keep = batch.at("keep");
  position.extend(context, 0, x.dim(1));
  return activation("vectors", stack(x, context));
}

}  // namespace qkv
