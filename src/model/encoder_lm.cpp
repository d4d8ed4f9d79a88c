// EncoderLm: an encoder that says which tokens stand at masked positions (Devlin et al. 2019, "BERT").
#include "model/encoder_lm.h"

#include "qkv/ops/embedding.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

QKV_REGISTER(Model, "encoder-lm", EncoderLm,
             "transformer encoder with a head for masked tokens (BERT): the token of every position");

EncoderLm::EncoderLm(const Scope& s, const Section& section, const DataShape& shape)
    : EncoderLm(s, section, shape, read_encoder<EncoderLmConfig>(section, shape)) {}

EncoderLm::EncoderLm(const Scope& s, const Section& section, const DataShape& shape, EncoderLmConfig c)
    : Encoder(s, section, c, shape),
      config(std::move(c)),
      dense(s / "mlm" / "dense", stack.out_width(), config.stack.d_model),
      norm(s / "mlm" / "norm", config.stack.block.norm, config.stack.d_model),
      decoder(config.tie_embeddings && !embed.one_hot
                  ? Linear(s / "mlm", embed.weight)
                  : Linear(s / "mlm", config.stack.d_model, shape.vocab_size, false)) {
  decoder.cap = config.logit_softcap;
  decoder.bias = (s / "mlm").param("bias", {shape.vocab_size});
  if (config.tie_embeddings && embed.one_hot)
    section.report("tie_embeddings", "needs a table of words; got embedding = \"one-hot\"");
}

Var EncoderLm::forward(const Batch& batch) const {
  Var h = encode(batch);  // [B, T, width]
  if (const Tensor* masked = batch.find("masked"))
    h = embedding(*masked, reshape(h, {h.dim(0) * h.dim(1), h.dim(2)}));  // [M, width]
  return decoder(norm(activate(dense(h), config.stack.block.ffn.activation)));
}

}  // namespace qkv
