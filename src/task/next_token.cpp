#include "task/next_token.h"

#include <cmath>

#include "qkv/base/text.h"

namespace qkv {

std::vector<int> NextTokenTask::prompt_of(const std::string& text) const {
  if (!tokenizer_) fail(Fault::usage, "the model must have a tokenizer; got none");
  std::vector<int> ids = tokenizer_->encode_marked(text);
  if (ids.empty()) fail(Fault::usage, "a text must hold a token; got {}", in_quotes(text));
  return ids;
}

std::vector<ProbeText> NextTokenTask::probe_texts(const std::vector<std::string>& texts) const {
  std::vector<ProbeText> result;
  for (const std::string& text : texts) {
    std::vector<int> ids = prompt_of(text);
    const std::size_t all = ids.size();
    ids.resize(std::min(all, std::size_t(most_tokens())));
    result.push_back(probe_of(ids));
    result.back().cut = int(all - ids.size());
  }
  return result;
}

Batch NextTokenTask::probe_batch(const ProbeText* texts, Index n) const {
  Batch batch;
  fill_words(batch, texts, n, nullptr, [&](auto& word) { return std::max(0, tokenizer_->id(word)); });
  return batch;
}

ProbeText NextTokenTask::probe_of(const std::vector<int>& ids) const {
  ProbeText result{tokenizer_->decode(ids), {}};
  for (int id : ids) result.words.push_back(tokenizer_->token(id));
  return result;
}

Loss NextTokenTask::score_tokens(const Var& logits, const Batch& batch, Metrics& metrics) {
  const Loss loss = add_loss(logits, batch.at("targets"), metrics);
  metrics.add("perplexity", loss.sum.value().item(), loss.count, [](double mean) { return std::exp(mean); });
  return loss;
}

const Generator& NextTokenTask::writer(const Model& model) const {
  const auto* generator = dynamic_cast<const Generator*>(&model);
  if (!generator || generator->needs_source() || !tokenizer_)
    fail(Fault::usage, "predict: the model must continue texts; got one that does not");
  return *generator;
}

GenerateOptions NextTokenTask::likeliest() const {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.never = tokenizer_->unwritten();
  return options;
}

}  // namespace qkv
