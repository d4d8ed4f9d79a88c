// RecurrentNet: RNN, LSTM and GRU as the models of the same tasks that transformers are trained on.
#pragma once
#include "model/word_vectors.h"
#include "qkv/base/config.h"
#include "qkv/model/generate.h"
#include "qkv/model/stack.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/recurrent.h"

namespace qkv {

/// What a classifier reads: the state at the target word, at the last word, or the mean.
enum class StateReadout { target, last, mean };
inline std::vector<std::string> names_of(StateReadout) {
  return {"target", "last", "mean"};
}

struct RecurrentNetConfig : LengthConfig {
  Index n_layer = 1, d_model = 32, d_embed = 0;
  bool bidirectional = false;
  double dropout = 0.0;
  EmbeddingKind embedding = EmbeddingKind::learned;
  StateReadout readout = StateReadout::target;
  template <class F>
  void fields(F& f) {
    f("n_layer", n_layer, "number of recurrent layers", rule::between(1, kMaxLayers));
    f("d_model", d_model, "width of the hidden state", rule::positive);
    f("d_embed", d_embed, "width of the token vectors; 0 = d_model", rule::non_negative);
    LengthConfig::fields(f);
    f("bidirectional", bidirectional, "read from both ends; for classification only");
    f("dropout", dropout, "probability of zeroing an activation between the layers while training",
      rule::dropping);
    f("embedding", embedding, "how a word is represented");
    f("readout", readout,
      "input of the classifier: the state at the target word, at the last word, or the mean");
  }
};

/// Token vectors, recurrent layers, and a head. With classes in the data: logits [B, n_class] of what
/// `readout` picks. Else logits [B, T, V] of the next token after each. Batch: as word_vectors, keep [B, T]
/// where there is padding (at the end of a row), target [B] where the readout is the target word.
struct RecurrentNet : Model, Generator {
  RecurrentNet(const std::string& cell, const Scope& s, const Section& config, const DataShape& shape);
  Var forward(const Batch& batch) const override;
  std::unique_ptr<Decoding> start(const Batch& source, Index rows) const override;
  /// The states [B, T, width] of the last layer. `states`, one per layer, are started from and moved on.
  Var encode(const Var& x, const Tensor& lengths, std::vector<RecurrentState>* states = nullptr) const;

  RecurrentNetConfig config;
  bool classifies;
  TokenEmbedding embed;
  std::vector<Recurrent> layers;
  Linear head;
};

}  // namespace qkv
