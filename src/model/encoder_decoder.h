// EncoderDecoder: a transformer that reads a source and writes a target (Vaswani et al. 2017).
#pragma once
#include "qkv/model/generate.h"
#include "qkv/model/model.h"
#include "qkv/model/stack.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/position.h"

namespace qkv {

struct EncoderDecoderConfig : LengthConfig {
  StackConfig stack;
  Index n_encoder_layer = 0, n_decoder_layer = 0;
  bool share_embeddings = false, tie_embeddings = false;
  PositionConfig position;
  template <class F>
  void fields(F& f) {
    stack.fields(f);
    f("n_encoder_layer", n_encoder_layer, "blocks of the encoder; 0 = n_layer", rule::between(0, kMaxLayers));
    f("n_decoder_layer", n_decoder_layer, "blocks of the decoder; 0 = n_layer", rule::between(0, kMaxLayers));
    LengthConfig::fields(f);
    f("share_embeddings", share_embeddings, "source and target have one token table; needs one vocabulary");
    f("tie_embeddings", tie_embeddings,
      "the head's weight is the target's token table (Press and Wolf 2017)");
    f("position", position, "positions");
  }
};

/// The encoder turns the source into vectors, one per token; each block of the decoder looks at the target so
/// far and at these vectors; a head without bias says what comes next. Batch: source_ids, source_keep [B, S]
/// (i32, 1 = a token, 0 = padding), ids [B, T] (the target so far). Logits [B, T, V].
struct EncoderDecoder : Model, Generator {
  EncoderDecoder(const Scope& s, const Section& config, const DataShape& shape);
  Var forward(const Batch& batch) const override;
  /// Translates batch.source_ids, one row each: self-attention from a cache, keys and values of the source
  /// computed once.
  std::unique_ptr<Decoding> start(const Batch& source, Index rows) const override;
  bool needs_source() const override { return true; }
  /// Keys and values of the target and of the source in each layer.
  double bytes_per_row() const override;

  Var encode(const Tensor& ids, const Tensor& keep) const;  // [B, S] -> [B, S, d]
  /// The vectors below the head of target tokens that stand at `start` and after. `context` holds the memory,
  /// which padding of it is not seen, and maybe a cache.
  Var decode(const Tensor& ids, Context context, Index start) const;  // [B, T] -> [B, T, d]
  Var logits(const Var& h) const;                                     // [.., d] -> [.., V]

  EncoderDecoderConfig config;
  TokenEmbedding target_embed, source_embed;
  Position source_position, target_position;
  Stack encoder, decoder;
  Parameter head;  ///< [V, d]
};

}  // namespace qkv
