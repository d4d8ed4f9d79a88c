#include "model/encoder_classifier.h"

#include "autograd/trace.h"
#include "qkv/base/text.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

QKV_REGISTER(Model, "encoder-classifier", EncoderClassifier,
             "transformer encoder with a classifier on the target word or on the mean of all");

EncoderClassifier::EncoderClassifier(const Scope& s, const Section& section, const DataShape& shape)
    : EncoderClassifier(s, section, shape, read_encoder<EncoderClassifierConfig>(section, shape)) {}

EncoderClassifier::EncoderClassifier(const Scope& s, const Section& section, const DataShape& shape,
                                     EncoderClassifierConfig c)
    : Encoder(s, section, c, shape), config(std::move(c)), head(s / "head", read_width(), shape.n_class) {
  head.cap = config.logit_softcap;
  if (config.pooler != Pooler::none) pooler.emplace(s / "pooler", read_width(), read_width());
  if (config.bag > 0) W_B = s.param("W_B", {shape.vocab_size, shape.n_class}, init::zeros());
}

Index EncoderClassifier::read_width() const {
  return config.readout == Readout::target_mean ? 2 * stack.out_width() : stack.out_width();
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
  if (pooler) read = config.pooler == Pooler::tanh ? tanh((*pooler)(read)) : relu((*pooler)(read));
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
