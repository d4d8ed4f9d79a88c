// DecoderLm: a decoder-only transformer language model (Radford et al. 2019, "GPT-2").
#pragma once
#include "qkv/model/generate.h"
#include "qkv/model/model.h"
#include "qkv/model/stack.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/position.h"

namespace qkv {

/// The table [model] of a decoder.
struct DecoderLmConfig : LengthConfig, HeadConfig {
  StackConfig stack;
  bool tie_embeddings = false;
  PositionConfig position;
  void fields(FieldCollector& f) {
    stack.fields(f);
    LengthConfig::fields(f);
    HeadConfig::fields(f);
    f("tie_embeddings", tie_embeddings, "the head's weight is the token table (Press and Wolf 2017)");
    f("position", position, "positions");
  }
};

/// Token vectors, positions, a causal stack of layers, and a head without bias. Batch: ids [B, T] (i32), and
/// keep [B, T] where there is padding, starts [B, T] where a row holds several documents: the place at which
/// that of each token begins. Attention stays in a document, and positions count from its begin. Logits [B,
/// T, V]: row t says what follows token t.
struct DecoderLm : Model, Generator {
  DecoderLm(const Scope& s, const Section& config, const DataShape& shape);
  Var forward(const Batch& batch) const override;
  std::unique_ptr<Decoding> start(const Batch& source, Index rows) const override;

  /// What the head reads [B, T, d], from the vectors of tokens that stand at `start` and after; `context` may
  /// hold a cache.
  Var encode(const Var& vectors, Context context, Index start) const;

  DecoderLmConfig config;
  TokenEmbedding embed;
  Position position;
  Stack stack;
  Linear head;  ///< [.., d] -> [.., V]
};

}  // namespace qkv
