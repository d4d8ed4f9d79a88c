// EncoderClassifier: a transformer encoder that classifies a text, or one word of it.
#pragma once
#include "qkv/model/model.h"
#include "qkv/model/stack.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/position.h"

namespace qkv {

struct EncoderClassifierConfig {
  StackConfig stack;
  Index max_seq_len = 64;
  std::string embedding = "learned";
  std::string readout = "target";
  PositionConfig position;
  template <class F>
  void fields(F& f) {
    stack.fields(f);
    f("max_seq_len", max_seq_len, "longest text in tokens", positive);
    f("embedding", embedding, "what stands for a word", one_of({"learned", "one-hot", "word+ngrams"}));
    f("readout", readout,
      "what the classifier reads: the target word's vector, the mean, or both side by side",
      one_of({"target", "mean", "target+mean"}));
    f("position", position, "positions");
  }
};

/// Batch: ids [B, T], keep [B, T] (1 = a word, 0 = padding), target [B]; ngram_ids and ngram_offsets where
/// the embedding has n-grams. Logits [B, n_class].
struct EncoderClassifier : Model {
  EncoderClassifier(const Scope& s, const Section& config, const DataShape& shape);
  Var forward(const Batch& batch) const override;
  /// The contextual vectors [B, T, d] below the classifier.
  Var encode(const Batch& batch) const;

  EncoderClassifierConfig config;
  std::optional<TokenEmbedding> embed;
  std::optional<Position> position;
  std::optional<Stack> stack;
  std::optional<Linear> head;
};

}  // namespace qkv
