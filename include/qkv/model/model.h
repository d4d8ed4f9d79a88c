// Model: a network that reads a batch.
#pragma once
#include <memory>

#include "qkv/base/threads.h"
#include "qkv/data/batch.h"
#include "qkv/nn/layer.h"

namespace qkv {

/// What the data says about the size of a model.
struct DataShape {
  Index vocab_size = 0;
  Index n_class = 0;
  Index ngram_buckets = 0;      ///< 0: the batches have no character n-grams
  Index source_vocab_size = 0;  ///< of the source of a pair; 0: that of the target
  bool both_sides = false;      ///< tokens are asked for that are hidden: a model may read on both sides
  /// >= 0: models that copy may also give source words beyond the vocabulary, for which this token stands in
  /// what they read.
  Index unknown_id = -1;
};

/// The longest text that a model reads: models of sequences and the tasks that cut texts for them share it.
struct LengthConfig {
  Index max_seq_len = 64;
  void fields(FieldCollector& f) {
    f("max_seq_len", max_seq_len, "longest text in tokens; of pairs, longest source and longest target",
      rule::positive);
  }
};

/// A network: parameters made in its constructor, and `forward`. Called by several threads at once.
struct Model {
  static constexpr const char* kDefault = "encoder-classifier";  ///< [model] type
  /// `config` is the [model] table.
  using Factory = std::unique_ptr<Model>(const Scope& scope, const Section& config, const DataShape& shape);
  virtual ~Model() = default;
  /// The logits of a batch (f32, f64): [B, n_class], or [B, T, V] where each token is answered. Throws where
  /// the batch lacks a tensor that the model reads.
  virtual Var forward(const Batch& batch) const = 0;
  /// Calls `each` with each output with its own loss during training: the answer, unless a model has parts
  /// that learn side by side, whose votes `forward` combines.
  virtual void for_each_vote(const Batch& batch, FunctionRef<void(const Var&)> each) const {
    each(forward(batch));
  }
};

QKV_DECLARE_REGISTRY(Model);

/// The model that `config.type` names. Models report what is wrong with their config and go on, so that all
/// problems come out together: here, as a usage error.
std::unique_ptr<Model> make_model(const Scope& scope, const Section& config, const DataShape& shape);

}  // namespace qkv
