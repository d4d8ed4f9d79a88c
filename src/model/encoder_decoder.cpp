#include "model/encoder_decoder.h"

#include "model/cached_decoding.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/matmul.h"

namespace qkv {

QKV_REGISTER(Model, "encoder-decoder", EncoderDecoder,
             "transformer encoder and decoder with cross-attention: translation, summaries");

static EncoderDecoderConfig read_encoder_decoder(const Section& section, const DataShape& shape) {
  EncoderDecoderConfig c;
  section.read(c);
  if (section.has("layers")) {
    section.report(
        "layers",
        "must be left out of an encoder-decoder; its layers are n_encoder_layer and n_decoder_layer blocks");
    for (const Section& layer : section.sections("layers")) layer.skip_all();
  }
  if (c.stack.d_model == 0) section.fail("d_model", "must be positive; got 0");
  if (c.n_encoder_layer == 0) c.n_encoder_layer = c.stack.n_layer;
  if (c.n_decoder_layer == 0) c.n_decoder_layer = c.stack.n_layer;
  if (c.n_decoder_layer == 0)
    section.report("n_layer", "must be positive, or n_decoder_layer must be: it reads the source; got 0");
  if (c.share_embeddings && shape.source_vocab_size > 0)
    section.report("share_embeddings",
                   fmt::format("needs tokenizer.shared = true; got vocabularies of {} and {}",
                               shape.source_vocab_size, shape.vocab_size));
  check_position(section, c.position, c.stack.block.attention, c.stack.d_model);
  if (c.position.origin != PositionOrigin::start)
    section.section("position").report("origin", "must be \"start\": there is no target word");
  if (c.stack.block.attention.qkv != Projections::learned)
    section.section("attention").report("qkv", "must be \"learned\" in an encoder-decoder; got \"identity\"");
  section.check();
  return c;
}

static StackConfig layers(StackConfig stack, Index n_layer, Index memory_width) {
  stack.n_layer = n_layer;
  stack.block.memory_width = memory_width;
  return stack;
}

EncoderDecoder::EncoderDecoder(const Scope& s, const Section& section, const DataShape& shape)
    : config(read_encoder_decoder(section, shape)),
      target_embed(s / (config.share_embeddings ? "embed" : "target_embed"), EmbeddingKind::learned,
                   shape.vocab_size, 0, config.stack.d_model),
      source_embed(config.share_embeddings
                       ? target_embed
                       : TokenEmbedding(s / "source_embed", EmbeddingKind::learned,
                                        shape.source_vocab_size ? shape.source_vocab_size : shape.vocab_size,
                                        0, config.stack.d_model)),
      source_position(s / "source_position", config.position, config.max_seq_len, config.stack.d_model,
                      config.stack.block.attention),
      target_position(s / "target_position", config.position, config.max_seq_len, config.stack.d_model,
                      config.stack.block.attention),
      encoder(s / "encoder", section, layers(config.stack, config.n_encoder_layer, 0)),
      decoder(s / "decoder", section, layers(config.stack, config.n_decoder_layer, config.stack.d_model)) {
  const Index d = config.stack.d_model;
  head = config.tie_embeddings ? target_embed.weight
                               : (s / "head").param("weight", {shape.vocab_size, d}, init::kaiming(d));
}

Var EncoderDecoder::encode(const Tensor& ids, const Tensor& keep) const {
  const Var x = source_position(source_embed(ids));  // [B, S, d]
  Context context;
  context.mask.key_keep = keep;
  source_position.extend(context, 0, x.dim(1));
  return encoder(dropout(x, config.stack.block.dropout), context);
}

Var EncoderDecoder::decode(const Tensor& ids, Context context, Index start) const {
  const Var x = target_position(target_embed(ids), {}, start);  // [B, T, d]
  context.mask.causal = true;
  target_position.extend(context, start, x.dim(1));
  return decoder(dropout(x, config.stack.block.dropout), context);
}

Var EncoderDecoder::logits(const Var& h) const {
  static const std::string path = "head";
  LayerPath here(path);
  return linear(h, head, Var());
}

Var EncoderDecoder::forward(const Batch& batch) const {
  Context context;
  context.memory_keep = batch.at("source_keep");
  context.memory = encode(batch.at("source_ids"), context.memory_keep);
  return logits(decode(batch.at("ids"), context, 0));
}

std::unique_ptr<Decoding> EncoderDecoder::start(const Batch& source, Index rows) const {
  QKV_CHECK(rows > 0 && source.at("source_ids").dim(0) == rows,
            "encoder-decoder: there must be a source for each row; got {} rows, source_ids {}", rows,
            source.at("source_ids").shape());
  if (!decoder.continues()) return start_recomputed(*this, source, rows, config.max_seq_len);
  Context context;
  context.memory_keep = source.at("source_keep");
  context.memory = encode(source.at("source_ids"), context.memory_keep).value();
  return std::make_unique<CachedDecoding>(
      "encoder-decoder", KeyValueCache(rows, config.max_seq_len, 2 * decoder.layers.size()), context,
      [this](const Tensor& ids, const Context& c, Index start) { return decode(ids, c, start); },
      [this](const Var& h) { return logits(h); });
}

double EncoderDecoder::bytes_per_row() const {
  const Index per_token = 4 * config.stack.d_model * static_cast<Index>(decoder.layers.size());
  return static_cast<double>(config.max_seq_len * per_token) *
         static_cast<double>(size_of(head.value().dtype()));
}

}  // namespace qkv
