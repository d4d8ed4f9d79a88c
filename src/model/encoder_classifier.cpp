#include "model/encoder_classifier.h"

#include "autograd/trace.h"
#include "model/word_vectors.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

QKV_REGISTER(Model, "encoder-classifier", EncoderClassifier,
             "transformer encoder with a classifier on the target word or on the mean of all");

static EncoderClassifierConfig read_encoder_classifier(const Section& section, const DataShape& shape) {
  EncoderClassifierConfig c;
  // The default that a resolved config shows is the length of an explicit stack.
  if (const auto listed = section.sections("layers"); !listed.empty()) c.stack.n_layer = Index(listed.size());
  section.read(c);
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
  return c;
}

EncoderClassifier::EncoderClassifier(const Scope& s, const Section& section, const DataShape& shape)
    : config(read_encoder_classifier(section, shape)),
      embed(s / "embed", config.embedding, shape.vocab_size, shape.ngram_buckets, config.stack.d_model),
      position(s / "position", config.position, config.max_seq_len, config.stack.d_model,
               config.stack.block.attention),
      stack(s, section, config.stack),
      head(s / "head", config.readout == Readout::target_mean ? 2 * stack.out_width() : stack.out_width(),
           shape.n_class) {
  if (config.bag > 0) W_B = s.param("W_B", {shape.vocab_size, shape.n_class}, init::zeros());
}

Var EncoderClassifier::encode(const Batch& batch) const {
  const Tensor target = position.relative ? batch.at("target") : Tensor();
  const Var words = Intervention::apply("", "static", word_vectors(embed, batch));  // [B, T, d]
  Capture::offer("static", words.value());
  const Var x = position(words, target);
  Context context;
  context.mask.key_keep = batch.at("keep");
  position.extend(context, 0, x.dim(1));
  const Var h = stack(dropout(x, config.stack.block.dropout), context);
  Capture::offer("vectors", h.value());
  return h;
}

Var EncoderClassifier::network_logits(const Batch& batch) const {
  const Var h = encode(batch);  // [B, T, d]
  Var read;
  if (config.readout != Readout::mean && !batch.find("target"))
    raise(Fault::runtime, {"encoder-classifier",
                           fmt::format("readout = \"{}\" needs 'target' in the batch; got {}",
                                       text_of(config.readout), join(batch.names(), ", ")),
                           "try readout = \"mean\""});
  if (config.readout != Readout::mean) read = select_positions(h, batch.at("target"));  // [B, d]
  if (config.readout != Readout::target) {
    const Var mean = masked_mean(h, batch.at("keep"));  // [B, d]
    read = read.defined() ? concat({read, mean}, -1) : mean;
  }
  return head(dropout(read, config.stack.block.dropout));  // [B, n_class]
}

void EncoderClassifier::for_each_vote(const Batch& batch, FunctionRef<void(const Var&)> each) const {
  each(network_logits(batch));
  if (W_B.defined()) each(bag_logits(batch));
}

Var EncoderClassifier::forward(const Batch& batch) const {
  const Var logits = network_logits(batch);
  return W_B.defined() ? (logits + bag_logits(batch)) * 0.5 : logits;
}

Var EncoderClassifier::bag_logits(const Batch& batch) const {
  const Tensor& keep = batch.at("keep");
  const Var mean = masked_mean(embedding(batch.at("ids"), W_B), keep);  // [B, n_class]
  const Var n = sum(Var(cast(keep, mean.dtype())), {-1}, true);         // [B, 1]
  return mean * sqrt(n) * config.bag;
}

}  // namespace qkv
