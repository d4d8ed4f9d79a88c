// NextTokenTask: what tasks share whose model continues a text token by token.
#pragma once
#include "qkv/base/text.h"
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
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override {
    return mapped(texts, [&](const std::string& text) {
      std::vector<int> ids = prompt_of(text);
      const std::size_t all = ids.size();
      ids.resize(std::min(all, std::size_t(most_tokens())));
      ProbeText probe = probe_of(ids);
      probe.cut = int(all - ids.size());
      return probe;
    });
  }
  Batch probe_batch(const ProbeText* texts, Index n) const override {
    Batch batch;
    fill_words(batch, texts, n, nullptr, [&](auto& word) { return std::max(0, tokenizer_->id(word)); });
    return batch;
  }

  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }

 protected:
  /// How many tokens of a text the model reads.
  virtual Index most_tokens() const = 0;
  /// The tokens that the model reads of what is asked, at least one.
  virtual std::vector<int> prompt_of(const std::string& text) const {
    if (!tokenizer_) fail(Fault::usage, "the model must have a tokenizer; got none");
    std::vector<int> ids = tokenizer_->encode_marked(text);
    if (ids.empty()) fail(Fault::usage, "a text must hold a token; got {}", in_quotes(text));
    return ids;
  }

  /// The model of a prediction, and how it writes the likeliest tokens.
  const Generator& writer(const Model& model) const {
    const auto* generator = dynamic_cast<const Generator*>(&model);
    if (!generator || generator->needs_source() || !tokenizer_)
      fail(Fault::usage, "model: must continue texts; got one that does not");
    return *generator;
  }
  GenerateOptions likeliest() const {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.never = tokenizer_->unwritten();
    return options;
  }
  ProbeText probe_of(const std::vector<int>& ids) const {
    return {tokenizer_->decode(ids), mapped(ids, [&](int id) { return tokenizer_->token(id); })};
  }

  LossConfig loss_;
  TokenizerConfig tokenizer_config_;
  std::shared_ptr<Tokenizer> tokenizer_;
};

}  // namespace qkv
