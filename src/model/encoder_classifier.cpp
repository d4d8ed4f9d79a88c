#include "qkv/model/encoder_classifier.h"

#include "qkv/ops/dropout.h"
#include "qkv/ops/pool.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

QKV_REGISTER(Model, "encoder-classifier", EncoderClassifier,
             "transformer encoder with a classifier on the target word");

EncoderClassifier::EncoderClassifier(const Scope& s, const Section& section, const DataShape& shape) {
  section.read(config);
  Index& d = config.stack.d_model;
  if (config.embedding == "one-hot" && d == 0) d = shape.vocab_size;
  if (d == 0) section.fail("d_model", "must be positive unless embedding = \"one-hot\"; got 0");
  BlockConfig& block = config.stack.block;
  block.attention.check(section.section("attention"), d);
  block.attention.dropout = block.ffn.dropout = block.dropout;
  if (config.embedding == "one-hot" && d != shape.vocab_size)
    section.fail("d_model", fmt::format("must be the vocabulary size {} with embedding = \"one-hot\"; got {}",
                                        shape.vocab_size, d));
  embed.emplace(s / "embed", config.embedding, shape.vocab_size, shape.ngram_buckets, d);
  position.emplace(s / "position", config.position, config.max_seq_len, d);
  stack.emplace(s, section, config.stack);
  const Index width = stack->out_width();
  head.emplace(s / "head", config.readout == "target+mean" ? 2 * width : width, shape.n_class);
}

Var EncoderClassifier::encode(const Batch& batch) const {
  const bool ngrams = embed->ngrams.defined();
  Var x = (*embed)(batch.at("ids"), ngrams ? batch.at("ngram_ids") : Tensor(),
                   ngrams ? batch.at("ngram_offsets") : Tensor());  // [B, T, d]
  x = dropout((*position)(x, batch.at("target")), config.stack.block.dropout);
  Context context;
  context.mask.key_keep = batch.at("keep");
  return (*stack)(x, context);
}

Var EncoderClassifier::forward(const Batch& batch) const {
  const Var h = encode(batch);  // [B, T, d]
  Var read;
  if (config.readout != "mean") read = select_positions(h, batch.at("target"));  // [B, d]
  if (config.readout != "target") {
    Var mean = masked_mean(h, batch.at("keep"));
    read = read.defined() ? concat({read, mean}, -1) : mean;  // [B, 2 d]
  }
  return (*head)(dropout(read, config.stack.block.dropout));  // [B, n_class]
}

}  // namespace qkv
