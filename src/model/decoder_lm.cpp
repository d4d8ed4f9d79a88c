#include "qkv/model/decoder_lm.h"

#include "model/cached_decoding.h"
#include "model/word_vectors.h"
#include "qkv/autograd/capture.h"
#include "qkv/ops/dropout.h"

namespace qkv {

QKV_REGISTER(Model, "decoder-lm", DecoderLm,
             "decoder-only transformer (GPT): the next token of every position");

static DecoderLmConfig read_decoder_lm(const Section& section) {
  DecoderLmConfig c;
  // The default that a resolved config shows is the length of an explicit stack.
  if (const auto listed = section.sections("layers"); !listed.empty()) c.stack.n_layer = Index(listed.size());
  section.read(c);
  if (c.stack.d_model == 0) {
    skip_layers(section);
    section.fail("d_model", "must be positive; got 0");
  }
  check_position(section, c.position, c.stack.block.attention, c.stack.d_model);
  if (c.position.origin != PositionOrigin::start)
    section.section("position").report("origin", "must be \"start\": there is no target word");
  if (c.stack.block.attention.qkv != Projections::learned)
    section.section("attention").report("qkv", "must be \"learned\" in a decoder-lm; got \"identity\"");
  return c;
}

DecoderLm::DecoderLm(const Scope& s, const Section& section, const DataShape& shape)
    : config(read_decoder_lm(section)),
      embed(s / "embed", EmbeddingKind::learned, shape.vocab_size, 0, config.stack.d_model),
      position(s / "position", config.position, config.max_seq_len, config.stack.d_model,
               config.stack.block.attention),
      stack(s, section, config.stack),
      head(config.tie_embeddings ? Linear(s / "head", embed.weight)
                                 : Linear(s / "head", stack.out_width(), shape.vocab_size, false)) {
  if (config.tie_embeddings && stack.out_width() != config.stack.d_model)
    section.report("tie_embeddings", fmt::format("needs layers with the output width d_model = {}; got {}",
                                                 config.stack.d_model, stack.out_width()));
}

Var DecoderLm::encode(const Var& vectors, Context context, Index start) const {
  const Var x = position(vectors, {}, start);  // [B, T, d]
  context.mask.causal = true;
  position.extend(context, start, x.dim(1));
  return stack(dropout(x, config.stack.block.dropout), context);
}

Var DecoderLm::forward(const Batch& batch) const {
  Context context;
  if (const Tensor* keep = batch.find("keep")) context.mask.key_keep = *keep;
  const Var words = Intervention::apply("", "static", word_vectors(embed, batch));  // [B, T, d]
  Capture::offer("static", words.value());
  const Var h = encode(words, context, 0);
  Capture::offer("vectors", h.value());
  return head(h);
}

std::unique_ptr<Decoding> DecoderLm::start(const Batch&, Index rows) const {
  QKV_CHECK(rows > 0, "decoder-lm: rows must be positive; got {}", rows);
  if (!stack.continues()) return start_recomputed(*this, {}, rows, config.max_seq_len);
  return std::make_unique<CachedDecoding>(
      "decoder-lm", KeyValueCache(rows, config.max_seq_len, stack.layers.size()), Context(), head,
      [this](const Tensor& ids, const Context& c, Index start) { return encode(embed(ids), c, start); });
}

}  // namespace qkv
