// Models that read a text in both directions: Encoder, what they share, and EncoderClassifier, which
// classifies a text or one word of it.
#pragma once
#include <optional>

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
  void fields(FieldCollector& f) {
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

// ---- EncoderClassifier

/// What the classifier reads: the vector of the target word, the mean, or both side by side.
enum class Readout { target, mean, target_mean };
inline std::vector<std::string> names_of(Readout) {
  return {"target", "mean", "target+mean"};
}

/// A layer between readout and classifier: its non-linearity.
enum class Pooler { none, tanh, relu };
inline std::vector<std::string> names_of(Pooler) {
  return {"none", "tanh", "relu"};
}

struct EncoderClassifierConfig : EncoderConfig {
  Readout readout = Readout::target;
  Pooler pooler = Pooler::none;
  double bag = 0.0;
  void fields(FieldCollector& f) {
    EncoderConfig::fields(f);
    f("readout", readout,
      "input of the classifier: the target word's vector, the mean, or both concatenated");
    f("pooler", pooler,
      "linear layer between readout and classifier: tanh (BERT), relu (DistilBERT), or none");
    f("bag", bag, "scale of a linear bag of words beside the network; 0 = none", rule::non_negative);
  }
};

/// An encoder and a classifier on what `readout` picks, through the pooler where there is one.
/// Batch: that of the encoder, and target [B] where the readout is the target word. Logits [B, n_class]. With
/// `bag` they are the mean of the network's and of a linear bag of words, bag / sqrt(n) sum_t W_B[x_t] over
/// the n words of the text, which learns from few examples what single words indicate (wide and deep
/// learning, Cheng et al. 2016).
struct EncoderClassifier : Encoder {
  EncoderClassifier(const Scope& s, const Section& config, const DataShape& shape);
  Var forward(const Batch& batch) const override;
  void for_each_vote(const Batch& batch, FunctionRef<void(const Var&)> each) const override;
  /// What the network and the bag of words say: logits [B, n_class].
  Var network_logits(const Batch& batch) const;
  Var bag_logits(const Batch& batch) const;

  EncoderClassifierConfig config;
  std::optional<Linear> pooler;
  Linear head;
  Parameter W_B;  // [V, n_class]; undefined without a bag of words

 private:
  Index read_width() const;
  EncoderClassifier(const Scope& s, const Section& section, const DataShape& shape,
                    EncoderClassifierConfig config);
};

}  // namespace qkv
