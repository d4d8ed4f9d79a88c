// Translation: the texts a trained model writes, and what they score.
#include <algorithm>
#include <cmath>

#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/reduce.h"
#include "task/common.h"
#include "task/translation.h"

namespace qkv {
namespace {

// Rows `rows` [begin, end) of a tensor of ids.
Tensor rows_of(const Tensor& t, const std::vector<int>& rows, std::size_t begin, std::size_t end) {
  const Index width = t.dim(1);
  Tensor result = Tensor::empty({static_cast<Index>(end - begin), width}, Dtype::i32);
  for (std::size_t i = begin; i < end; i++)
    std::copy_n(t.data<std::int32_t>() + rows[i] * width, width,
                result.data<std::int32_t>() + static_cast<Index>(i - begin) * width);
  return result;
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
  if (options_.unknown == UnknownWords::never) options.never.push_back(target_->unk_id());
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
  const bool lowercase = target_->normalize("A").find('A') == std::string::npos;
  TextScores scores(scores_, options_.bleu_tokenize, lowercase);
  if (!std::isfinite(loss.sum.value().item())) rows.clear();  // such a model writes no texts
  for (std::size_t begin = 0; begin < rows.size(); begin += kTogether) {
    const std::size_t end = std::min(rows.size(), begin + kTogether);
    Batch some;
    for (const char* name : {"source_ids", "source_keep"})
      some.set(name, rows_of(batch.at(name), rows, begin, end));
    const auto outputs = generate(model, some, 1);
    for (std::size_t i = begin; i < end; i++) {
      const auto& best = outputs[i - begin];
      const auto number = static_cast<std::size_t>(example.data<std::int32_t>()[rows[i]]);
      const std::string source = own.sources.empty() ? "" : own.sources[number];
      scores.add(best.empty() ? "" : text_of(best[0].ids, model, source), own.references[number]);
    }
  }
  metrics.texts.merge(scores);
}

std::vector<std::string> Translation::metrics() const {
  std::vector<std::string> names{"loss", "perplexity", "token_accuracy"};
  names.insert(names.end(), scores_.begin(), scores_.end());
  return names;
}

Batch Translation::source_batch(const std::string& text, UnknownCount* unknown, Index* cut) const {
  std::vector<int> ids = source().encode(text, unknown);
  const Index size = static_cast<Index>(ids.size()), room = max_seq_len_ - 1;
  if (cut) *cut = std::max<Index>(0, size - room);
  ids.resize(static_cast<std::size_t>(std::min(size, room)));
  ids.push_back(source().id("<eos>"));
  Batch batch;
  batch.set("source_ids", Tensor::from({1, static_cast<Index>(ids.size())}, ids));
  batch.set("source_keep", Tensor::full({1, static_cast<Index>(ids.size())}, 1, Dtype::i32));
  return batch;
}

// The text of a hypothesis; with unknown = "source" each <unk> becomes the source word that gets most of the
// last layer's attention, as mean over its heads, when <unk> is written.
std::string Translation::text_of(const std::vector<int>& ids, const Model& model,
                                 const std::string& source_text) const {
  std::string text = target_->decode(ids);
  const int unk = target_->unk_id();
  if (options_.unknown != UnknownWords::source || !std::count(ids.begin(), ids.end(), unk)) return text;
  const std::vector<std::string> words = source().split(source_text);
  Batch batch = source_batch(source_text, nullptr, nullptr);
  std::vector<int> before{bos_};
  before.insert(before.end(), ids.begin(), ids.end() - 1);
  batch.set("ids", Tensor::from({1, static_cast<Index>(before.size())}, before));
  Capture capture({"weights"});
  model.forward(batch);
  Tensor weights;  // [1, H, T, S]
  for (auto& [name, tensor] : capture.all())
    if (ends_with(name, ".cross_attn.weights")) weights = tensor;
  if (!weights.defined()) return text;
  const Index H = weights.dim(1), T = weights.dim(2), S = weights.dim(3);
  std::size_t at = 0;
  for (Index t = 0; t < T; t++) {
    if (ids[static_cast<std::size_t>(t)] != unk) continue;
    std::size_t best = 0;
    double most = -1;
    for (Index s = 0; s + 1 < S; s++) {  // the last is <eos>
      double sum = 0;
      for (Index h = 0; h < H; h++) sum += weights.at((h * T + t) * S + s);
      if (sum > most) most = sum, best = static_cast<std::size_t>(s);
    }
    const std::string& token = target_->token(unk);
    if ((at = text.find(token, at)) == std::string::npos || best >= words.size()) break;
    text.replace(at, token.size(), words[best]);
    at += words[best].size();
  }
  return text;
}

Json Translation::predict(const Model& model, const std::string& text) const {
  UnknownCount unknown;
  Index cut = 0;
  const Batch batch = source_batch(text, &unknown, &cut);
  if (batch.at("source_ids").size() == 1)
    fail(Fault::usage, "predict: the text must hold a token; got {}", in_quotes(text));
  const std::vector<Hypothesis> best = generate(model, batch, options_.beam)[0];
  Json candidates = Json::array();
  for (const Hypothesis& h : best)
    candidates.push_back({{"text", text_of(h.ids, model, text)}, {"score", rounded(h.score)}});
  return {{"text", text},
          {output_, best.empty() ? Json("") : candidates[0].at("text")},
          {"log_prob", best.empty() ? Json(nullptr) : rounded(best[0].log_prob)},
          {"score", best.empty() ? Json(nullptr) : rounded(best[0].score)},
          {"unknown_words", unknown.unknown},
          {"cut_tokens", cut},
          {"candidates", candidates}};
}

std::string Translation::readable(const Json& prediction) const {
  return prediction.at(output_).get<std::string>() + "\n";
}

// The caches of the hypotheses, twice while those of a beam change places.
double Translation::scoring_bytes(const Model& model) const {
  const auto* generator = dynamic_cast<const Generator*>(&model);
  const auto rows = static_cast<double>(kTogether * options_.beam);
  return generator ? 2.0 * rows * generator->bytes_per_row() : 0.0;
}

}  // namespace qkv
