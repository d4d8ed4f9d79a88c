// Encoder: what models that read a text in both directions share, embeddings and layers.
#pragma once
#include "qkv/model/model.h"
#include "qkv/model/stack.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/position.h"

namespace qkv {

struct EncoderConfig : LengthConfig, HeadConfig {
  StackConfig stack;
  EmbeddingKind embedding = EmbeddingKind::learned;
  Index token_types = 0;
  PositionConfig position;
  template <class F>
  void fields(F& f) {
    stack.fields(f);
    LengthConfig::fields(f);
    HeadConfig::fields(f);
    f("embedding", embedding, "how a word is represented");
    f("token_types", token_types,
      "rows of a table of token types, such as the two texts of a pair (BERT); 0 = none",
      rule::between(0, 1 << 20));
    f("position", position, "positions");
  }
};

/// Reports what an encoder cannot have; makes d_model the vocabulary size where it is 0.
void check_encoder(const Section& section, EncoderConfig& config, const DataShape& shape);

template <class Config>
Config read_encoder(const Section& section, const DataShape& shape) {
  Config c;
  // The default that a resolved config shows is the length of an explicit stack.
  if (const auto listed = section.sections("layers"); !listed.empty()) c.stack.n_layer = Index(listed.size());
  section.read(c);
  check_encoder(section, c, shape);
  return c;
}

/// Word vectors, token types, positions and a stack of layers. Batch: as word_vectors, keep [B, T] (1 = a
/// word, 0 = padding), target [B] where it is the origin of the positions, and where the model has token
/// types, maybe token_types [B, T] (i32), else all 0.
struct Encoder : Model {
  Encoder(const Scope& s, const Section& section, const EncoderConfig& config, const DataShape& shape);
  /// The contextual vectors [B, T, width] below the head.
  Var encode(const Batch& batch) const;

  TokenEmbedding embed;
  Parameter token_types;  ///< [token_types, d]; undefined without
  Position position;
  Stack stack;
};

}  // namespace qkv
