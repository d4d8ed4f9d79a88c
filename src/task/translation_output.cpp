// Translation: the texts a trained model writes, and what they score.
#include <algorithm>
#include <cmath>

#include "qkv/base/json.h"
#include "qkv/ops/cross_entropy.h"
#include "qkv/ops/reduce.h"
#include "qkv/task/translation.h"

namespace qkv {
namespace {

constexpr Index kTogether = 32;  // texts that are generated at a time, so that the beams fit in memory

// Rows `rows` [begin, end) of a tensor of ids.
Tensor rows_of(const Tensor& t, const std::vector<int>& rows, std::size_t begin, std::size_t end) {
  const Index width = t.dim(1);
  Tensor result = Tensor::empty({static_cast<Index>(end - begin), width}, Dtype::i32);
  for (std::size_t i = begin; i < end; i++)
    std::copy_n(t.data<std::int32_t>() + rows[i] * width, width,
                result.data<std::int32_t>() + static_cast<Index>(i - begin) * width);
  return result;
}

Json rounded(double value) {
  return json_number(static_cast<float>(value));
}

}  // namespace

std::vector<std::vector<Hypothesis>> Translation::generate(const Model& model, const Batch& batch,
                                                           Index n_best) const {
  const auto* generator = dynamic_cast<const Generator*>(&model);
  if (!generator)
    fail(Fault::usage, "{}: the model must generate text, as encoder-decoder does; got one that does not",
         output_);
  BeamOptions options;
  options.beam = static_cast<int>(options_.beam);
  options.n_best = static_cast<int>(n_best);
  options.normalize = options_.normalize;
  options.alpha = options_.length_penalty;
  options.max_tokens = options_.max_tokens > 0 ? std::min(options_.max_tokens, max_seq_len_) : max_seq_len_;
  options.stop = eos_;
  options.never = {target_->pad_id(), bos_};
  const Index B = batch.at("source_ids").dim(0);
  Tensor prompt = Tensor::empty({B, 1}, Dtype::i32);
  prompt.fill(bos_);
  return beam_search(*generator->start(batch, B), prompt, options);
}

void Translation::score(const Model& model, const Batch& batch, Metrics& metrics) const {
  const Var logits = model.forward(batch);  // [B, T, V]
  const Tensor& targets = batch.at("targets");
  const Tensor next = argmax(logits, 2);  // [B, T]
  Index right = 0, count = 0;
  for (Index i = 0; i < targets.size(); i++) {
    const std::int32_t target = targets.data<std::int32_t>()[i];
    if (target == kNoTarget) continue;
    right += next.data<std::int32_t>()[i] == target;
    count++;
  }
  const CrossEntropy loss = cross_entropy(logits, targets);
  metrics.add("loss", loss.sum.value().item(), loss.weight);
  metrics.derive("perplexity", "loss", [](double mean) { return std::exp(mean); });
  metrics.add("token_accuracy", static_cast<double>(right), static_cast<double>(count));

  const Tensor* sampled = batch.find("sampled");
  const Tensor& example = batch.at("example");
  const Part& own = part(static_cast<Split>(batch.at("split").data<std::int32_t>()[0]));
  std::vector<int> rows;
  for (Index b = 0; b < example.size(); b++)
    if (!sampled || sampled->data<std::int32_t>()[b]) rows.push_back(static_cast<int>(b));
  TextScores scores(scores_, options_.bleu_tokenize);
  for (std::size_t begin = 0; begin < rows.size(); begin += kTogether) {
    const std::size_t end = std::min(rows.size(), begin + kTogether);
    Batch some;
    for (const char* name : {"source_ids", "source_keep"})
      some.set(name, rows_of(batch.at(name), rows, begin, end));
    const auto outputs = generate(model, some, 1);
    for (std::size_t i = begin; i < end; i++) {
      const auto& best = outputs[i - begin];
      const int number = example.data<std::int32_t>()[rows[i]];
      scores.add(best.empty() ? "" : target_->decode(best[0].ids),
                 target_->canonical(own.references[static_cast<std::size_t>(number)]));
    }
  }
  metrics.texts.merge(scores);
}

std::vector<std::string> Translation::metrics() const {
  std::vector<std::string> names{"loss", "perplexity", "token_accuracy"};
  names.insert(names.end(), scores_.begin(), scores_.end());
  return names;
}

Json Translation::predict(const Model& model, const std::string& text) const {
  UnknownCount unknown;
  std::vector<int> ids = source().encode(text, &unknown);
  if (static_cast<Index>(ids.size()) >= max_seq_len_) ids.resize(static_cast<std::size_t>(max_seq_len_ - 1));
  ids.push_back(source().id("<eos>"));
  Batch batch;
  const Index S = static_cast<Index>(ids.size());
  batch.set("source_ids", Tensor::from({1, S}, ids));
  batch.set("source_keep", Tensor::from({1, S}, std::vector<int>(ids.size(), 1)));
  const std::vector<Hypothesis> best = generate(model, batch, options_.beam)[0];
  Json candidates = Json::array();
  for (const Hypothesis& h : best)
    candidates.push_back({{"text", target_->decode(h.ids)}, {"score", rounded(h.score)}});
  return {{"text", text},
          {output_, best.empty() ? "" : target_->decode(best[0].ids)},
          {"log_prob", best.empty() ? Json(nullptr) : rounded(best[0].log_prob)},
          {"score", best.empty() ? Json(nullptr) : rounded(best[0].score)},
          {"unknown_words", unknown.unknown},
          {"candidates", candidates}};
}

std::string Translation::readable(const Json& prediction) const {
  return prediction.at(output_).get<std::string>() + "\n";
}

}  // namespace qkv
