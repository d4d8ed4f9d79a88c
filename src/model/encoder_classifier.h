// EncoderClassifier: a transformer encoder that classifies a text, or one word of it.
#pragma once
#include "qkv/model/model.h"
#include "qkv/model/stack.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/position.h"

namespace qkv {

/// What the classifier reads: the vector of the target word, the mean, or both side by side.
enum class Readout { target, mean, target_mean };
inline std::vector<std::string> names_of(Readout) {
  return {"target", "mean", "target+mean"};
}

struct EncoderClassifierConfig : LengthConfig {
  StackConfig stack;
  EmbeddingKind embedding = EmbeddingKind::learned;
  Readout readout = Readout::target;
  double bag = 0.0;
  PositionConfig position;
  template <class F>
  void fields(F& f) {
    stack.fields(f);
    LengthConfig::fields(f);
    f("embedding", embedding, "how a word is represented");
    f("readout", readout,
      "input of the classifier: the target word's vector, the mean, or both concatenated");
    f("bag", bag, "scale of a linear bag of words beside the network; 0 = none", rule::non_negative);
    f("position", position, "positions");
  }
};

/// Word vectors, positions, a stack of layers, and a classifier on what `readout` picks.
/// Batch: as word_vectors, keep [B, T] (1 = a word, 0 = padding), and target [B] where the readout or the
/// origin of the positions is the target word. Logits [B, n_class]. With `bag` they are the mean of the
/// network's and of a linear bag of words, bag / sqrt(n) sum_t W_B[x_t] over the n words of the text, which
/// learns from few examples what single words indicate (wide and deep learning, Cheng et al. 2016).
struct EncoderClassifier : Model {
  EncoderClassifier(const Scope& s, const Section& config, const DataShape& shape);
  Var forward(const Batch& batch) const override;
  void for_each_vote(const Batch& batch, FunctionRef<void(const Var&)> each) const override;
  /// The contextual vectors [B, T, d] below the classifier.
  Var encode(const Batch& batch) const;
  /// What the network and the bag of words say: logits [B, n_class].
  Var network_logits(const Batch& batch) const;
  Var bag_logits(const Batch& batch) const;

  EncoderClassifierConfig config;
  TokenEmbedding embed;
  Position position;
  Stack stack;
  Linear head;
  Parameter W_B;  // [V, n_class]; undefined without a bag of words
};

}  // namespace qkv
