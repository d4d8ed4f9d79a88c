#include "model/encoder.h"

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

// Reports what an encoder cannot have; makes d_model the vocabulary size where it is 0.
static void check_encoder(const Section& section, EncoderConfig& c, const DataShape& shape) {
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

template <class Config>
static Config read_encoder(const Section& section, const DataShape& shape) {
  Config c;
  // The default that a resolved config shows is the length of an explicit stack.
  if (const auto listed = section.sections("layers"); !listed.empty()) c.stack.n_layer = Index(listed.size());
  section.read(c);
  check_encoder(section, c, shape);
  return c;
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

// ---- EncoderClassifier

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

// ---- EncoderLm: which tokens stand at masked positions (Devlin et al. 2019, "BERT")

namespace {

struct EncoderLmConfig : EncoderConfig {
  bool tie_embeddings = true;
  void fields(FieldCollector& f) {
    EncoderConfig::fields(f);
    f("tie_embeddings", tie_embeddings, "the head's weight is the token table (Press and Wolf 2017)");
  }
};

/// An encoder and BERT's head: logits = E norm(f(W h + c)) + b, with the token table E (or a weight of its
/// own), and f as in the feed-forward layers. Batch: that of the encoder, and maybe masked [M] (i32), the
/// positions b T + t that are asked for. Logits [M, V], without `masked` [B, T, V].
struct EncoderLm : Encoder {
  EncoderLm(const Scope& s, const Section& section, const DataShape& shape)
      : EncoderLm(s, section, shape, read_encoder<EncoderLmConfig>(section, shape)) {}
  EncoderLm(const Scope& s, const Section& section, const DataShape& shape, EncoderLmConfig c)
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

  Var forward(const Batch& batch) const override {
    Var h = encode(batch);  // [B, T, width]
    if (const Tensor* masked = batch.find("masked"))
      h = embedding(*masked, reshape(h, {h.dim(0) * h.dim(1), h.dim(2)}));  // [M, width]
    return decoder(norm(activate(dense(h), config.stack.block.ffn.activation)));
  }

  EncoderLmConfig config;
  Linear dense;
  Norm norm;
  Linear decoder;  ///< [.., d] -> [.., V]
};

QKV_REGISTER(Model, "encoder-lm", EncoderLm,
             "transformer encoder with a head for masked tokens (BERT): the token of every position");

}  // namespace
}  // namespace qkv
