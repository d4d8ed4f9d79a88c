// NextTokenTask: what tasks share whose model continues a text token by token.
#pragma once
#include "qkv/model/generate.h"
#include "task/common.h"

namespace qkv {

/// Batches have ids and targets [B, T] (i32), the token after each; kNoTarget where there is none. Models
/// give logits [B, T, V].
class NextTokenTask : public Task {
 public:
  explicit NextTokenTask(const TaskInput& input) : loss_(input.loss()), tokenizer_(input.tokenizer) {}

  Index tokens(const Batch& batch) const override { return count_targets(batch.at("targets")); }
  Loss loss(const Model& model, const Batch& batch) const override {
    return token_loss(model.forward(batch), batch.at("targets"), loss_);
  }

  // ---- a look inside: the tokens of a text
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override;
  Batch probe_batch(const ProbeText* texts, Index n) const override;

  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }

 protected:
  /// How many tokens of a text the model reads.
  virtual Index most_tokens() const = 0;
  /// The tokens that the model reads of what is asked, at least one.
  virtual std::vector<int> prompt_of(const std::string& text) const;

  /// Adds loss and perplexity.
  static Loss score_tokens(const Var& logits, const Batch& batch, Metrics& metrics);
  /// The model of a prediction, and how it writes the likeliest tokens.
  const Generator& writer(const Model& model) const;
  GenerateOptions likeliest() const;
  ProbeText probe_of(const std::vector<int>& ids) const;

  LossConfig loss_;
  TokenizerConfig tokenizer_config_;
  std::shared_ptr<Tokenizer> tokenizer_;
};

}  // namespace qkv
