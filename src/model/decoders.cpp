// DecoderLm and EncoderDecoder: transformers that generate, and how they continue from a cache.
#include <optional>

#include "model/copy_head.h"
#include "model/word_vectors.h"
#include "qkv/autograd/capture.h"
#include "qkv/model/decoder_lm.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

// ---- a cache of keys and values

class CachedDecoding : public Decoding {
 public:
  /// `decode` gives the vectors [rows, n, d] of new tokens that stand at `start` and after, `head` what
  /// follows from them, together with `copy` where it is given. `context` may hold a memory of the rows; its
  /// keys and values are in the cache from the first pass on.
  using Decode = std::function<Var(const Tensor& ids, const Context& context, Index start)>;
  CachedDecoding(const char* model, KeyValueCache cache, Context context, const Linear& head, Decode decode,
                 const CopyHead* copy = nullptr)
      : model_(model),
        cache_(std::move(cache)),
        context_(std::move(context)),
        head_(head),
        decode_(std::move(decode)),
        copy_(copy) {
    context_.cache = &cache_;
  }

  Tensor feed(const Tensor& ids) override {
    QKV_CHECK(ids.rank() == 2 && ids.dim(0) == cache_.rows() && ids.dim(1) >= 1 && ids.dim(1) <= room(),
              "{}: ids must be [{}, 1 .. {}]; got {}", model_, cache_.rows(), room(), ids.shape());
    cache_.begin();
    Var h = decode_(ids, context_, cache_.length());
    if (ids.dim(1) > 1) h = slice(h, 1, ids.dim(1) - 1, ids.dim(1));
    Var logits = head_(reshape(h, {ids.dim(0), h.dim(2)}));
    if (copy_) logits = (*copy_)(h, reshape(logits, {ids.dim(0), 1, -1}), context_);
    cache_.advance(ids.dim(1));
    context_.memory = Var();
    return reshape(logits, {ids.dim(0), -1}).value();
  }
  void select(const std::vector<int>& from) override {
    for (Tensor* own : {&context_.memory_keep, &context_.memory_ids})
      if (own->defined()) *own = select_rows("cache", *own, from);
    if (context_.memory.defined()) context_.memory = select_rows("cache", context_.memory.value(), from);
    cache_.select(from);
  }
  Index room() const override { return cache_.capacity() - cache_.length(); }
  void for_each_state(FunctionRef<void(const std::string&, const Tensor&)> each) const override {
    for (const KeyValueCache::Entry& entry : cache_.entries()) {
      each(entry.layer + ".keys", entry.keys);
      if (entry.values.defined()) each(entry.layer + ".values", entry.values);
    }
  }

 private:
  const char* model_;
  KeyValueCache cache_;
  Context context_;
  const Linear& head_;
  Decode decode_;
  const CopyHead* copy_;
};

}  // namespace

// ---- DecoderLm (Radford et al. 2019, "GPT-2")

QKV_REGISTER(Model, "decoder-lm", DecoderLm,
             "decoder-only transformer (GPT): the next token of every position");

static DecoderLmConfig read_decoder_lm(const Section& section, const DataShape& shape) {
  DecoderLmConfig c;
  // The default that a resolved config shows is the length of an explicit stack.
  if (const auto listed = section.sections("layers"); !listed.empty()) c.stack.n_layer = Index(listed.size());
  section.read(c);
  c.stack.vocab_size = shape.vocab_size;
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
    : config(read_decoder_lm(section, shape)),
      embed(s / "embed", EmbeddingKind::learned, shape.vocab_size, 0, config.stack.d_model),
      position(s / "position", config.position, config.max_seq_len, config.stack.d_model,
               config.stack.block.attention),
      stack(s, section, config.stack),
      head(config.tie_embeddings ? Linear(s / "head", embed.weight)
                                 : Linear(s / "head", stack.out_width(), shape.vocab_size, false)) {
  head.cap = config.logit_softcap;
  if (config.tie_embeddings && stack.out_width() != config.stack.d_model)
    section.report("tie_embeddings", fmt::format("needs layers with the output width d_model = {}; got {}",
                                                 config.stack.d_model, stack.out_width()));
}

Var DecoderLm::encode(const Var& vectors, Context context, Index start) const {
  const Var x = position(vectors, context.mask.starts, start);  // [B, T, d]
  context.mask.causal = true;
  position.extend(context, start, x.dim(1));
  return stack(x, context);
}

Var DecoderLm::forward(const Batch& batch) const {
  Context context;
  context.ids = batch.at("ids");
  if (const Tensor* keep = batch.find("keep")) context.mask.key_keep = *keep;
  if (const Tensor* starts = batch.find("starts")) context.mask.starts = *starts;
  const Var words = activation("static", word_vectors(embed, batch));  // [B, T, d]
  return head(activation("vectors", encode(words, context, 0)));
}

std::unique_ptr<Decoding> DecoderLm::start(const Batch&, Index rows) const {
  QKV_CHECK(rows > 0, "decoder-lm: rows must be positive; got {}", rows);
  if (!stack.continues()) return start_recomputed(*this, {}, rows, config.max_seq_len);
  return std::make_unique<CachedDecoding>("decoder-lm",
                                          KeyValueCache(rows, config.max_seq_len, stack.layers.size()),
                                          Context(), head, [this](const Tensor& ids, Context c, Index start) {
                                            c.ids = ids;
                                            return encode(embed(ids), std::move(c), start);
                                          });
}

// ---- EncoderDecoder (Vaswani et al. 2017)

namespace {

struct EncoderDecoderConfig : LengthConfig, HeadConfig {
  StackConfig stack;
  Index n_encoder_layer = 0, n_decoder_layer = 0;
  bool share_embeddings = false, tie_embeddings = false, copy = false;
  PositionConfig position;
  void fields(FieldCollector& f) {
    stack.fields(f);
    f("n_encoder_layer", n_encoder_layer, "blocks of the encoder; 0 = n_layer", rule::between(0, kMaxLayers));
    f("n_decoder_layer", n_decoder_layer, "blocks of the decoder; 0 = n_layer", rule::between(0, kMaxLayers));
    LengthConfig::fields(f);
    HeadConfig::fields(f);
    f("share_embeddings", share_embeddings, "source and target have one token table; needs one vocabulary");
    f("tie_embeddings", tie_embeddings,
      "the head's weight is the target's token table (Press and Wolf 2017)");
    f("copy", copy,
      "a word of the output may be copied from the source, also one beyond the vocabulary (See et al. 2017, "
      "\"Get to the point\")");
    f("position", position, "positions");
  }
};

EncoderDecoderConfig read_encoder_decoder(const Section& section, const DataShape& shape) {
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

StackConfig layers(StackConfig stack, Index n_layer, Index vocab_size, Index memory_width) {
  stack.n_layer = n_layer;
  stack.vocab_size = vocab_size;
  stack.block.memory_width = memory_width;
  return stack;
}

/// The encoder turns the source into vectors, one per token; each block of the decoder looks at the target so
/// far and at these vectors; a head without bias says what comes next. Batch: source_ids, source_keep [B, S]
/// (i32, 1 = a token, 0 = padding), ids [B, T] (the target so far), with `copy` also copy_ids [B, S], what
/// copying each source token gives. Logits [B, T, V], with `copy` log p as CopyHead says.
struct EncoderDecoder : Model, Generator {
  EncoderDecoder(const Scope& s, const Section& section, const DataShape& shape)
      : config(read_encoder_decoder(section, shape)),
        target_embed(s / (config.share_embeddings ? "embed" : "target_embed"), EmbeddingKind::learned,
                     shape.vocab_size, 0, config.stack.d_model),
        source_embed(
            config.share_embeddings
                ? target_embed
                : TokenEmbedding(s / "source_embed", EmbeddingKind::learned,
                                 shape.source_vocab_size ? shape.source_vocab_size : shape.vocab_size, 0,
                                 config.stack.d_model)),
        source_position(s / "source_position", config.position, config.max_seq_len, config.stack.d_model,
                        config.stack.block.attention),
        target_position(s / "target_position", config.position, config.max_seq_len, config.stack.d_model,
                        config.stack.block.attention),
        encoder(s / "encoder", section,
                layers(config.stack, config.n_encoder_layer, source_embed.vocabulary, 0)),
        decoder(s / "decoder", section,
                layers(config.stack, config.n_decoder_layer, shape.vocab_size, config.stack.d_model)),
        head(config.tie_embeddings ? Linear(s / "head", target_embed.weight)
                                   : Linear(s / "head", config.stack.d_model, shape.vocab_size, false)) {
    head.cap = config.logit_softcap;
    if (config.copy) copy.emplace(s / "copy", config.stack.d_model, shape.unknown_id);
  }

  // [B, S] -> [B, S, d]
  Var encode(const Tensor& ids, const Tensor& keep) const {
    const Var x = source_position(activation("source", source_embed(ids)));  // [B, S, d]
    Context context;
    context.ids = ids;
    context.mask.key_keep = keep;
    source_position.extend(context, 0, x.dim(1));
    return encoder(x, context);
  }

  /// The vectors [B, T, d] below the head of target tokens [B, T] that stand at `start` and after. `context`
  /// holds the memory, which padding of it is not seen, and maybe a cache.
  Var decode(const Tensor& given, Context context, Index start) const {
    const Tensor ids = copy ? copy->known(given, target_embed.vocabulary) : given;
    const Var x = target_position(activation("static", target_embed(ids)), {}, start);  // [B, T, d]
    context.ids = ids;
    context.mask.causal = true;
    target_position.extend(context, start, x.dim(1));
    return decoder(x, context);
  }

  Var forward(const Batch& batch) const override {
    Context context;
    context.memory_keep = batch.at("source_keep");
    context.memory = encode(batch.at("source_ids"), context.memory_keep);
    const Var h = activation("vectors", decode(batch.at("ids"), context, 0)), logits = head(h);
    if (!copy) return logits;
    context.memory_ids = batch.at("copy_ids");
    return (*copy)(h, logits, context);
  }

  /// Translates batch.source_ids, one row each: self-attention from a cache, keys and values of the source
  /// computed once.
  std::unique_ptr<Decoding> start(const Batch& source, Index rows) const override {
    QKV_CHECK(rows > 0 && source.at("source_ids").dim(0) == rows,
              "encoder-decoder: there must be a source for each row; got {} rows, source_ids {}", rows,
              source.at("source_ids").shape());
    if (!decoder.continues()) return start_recomputed(*this, source, rows, config.max_seq_len);
    Context context;
    context.memory_keep = source.at("source_keep");
    context.memory = encode(source.at("source_ids"), context.memory_keep).value();
    if (copy) context.memory_ids = source.at("copy_ids");
    return std::make_unique<CachedDecoding>(
        "encoder-decoder", KeyValueCache(rows, config.max_seq_len, 2 * decoder.layers.size() + 1), context,
        head, [this](const Tensor& ids, const Context& c, Index start) { return decode(ids, c, start); },
        copy ? &*copy : nullptr);
  }

  bool needs_source() const override { return true; }
  /// Keys and values of the target and of the source in each layer.
  double bytes_per_row() const override {
    const Index per_token = 4 * config.stack.d_model * Index(decoder.layers.size());
    return double(config.max_seq_len * per_token) * double(size_of(head.weight.value().dtype()));
  }

  EncoderDecoderConfig config;
  TokenEmbedding target_embed, source_embed;
  Position source_position, target_position;
  Stack encoder, decoder;
  Linear head;  ///< [.., d] -> [.., V]
  std::optional<CopyHead> copy;
};

QKV_REGISTER(Model, "encoder-decoder", EncoderDecoder,
             "transformer encoder and decoder with cross-attention: translation, summaries");

}  // namespace
}  // namespace qkv
