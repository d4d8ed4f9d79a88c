// Translation: the texts a trained model writes, and what they score.
#include <cmath>

#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "task/translation.h"

namespace qkv {
std::vector<std::vector<Hypothesis>> Translation::generate(const Model& model, const Batch& batch,
                                                           Index n_best) const {
  const auto* generator = dynamic_cast<const Generator*>(&model);
  if (!generator)
    fail(Fault::usage, "{}: the model must generate text, as encoder-decoder does; got one that does not",
         output_);
  BeamOptions options;
  options.beam = int(options_.beam);
  options.n_best = int(n_best);
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
  double right = 0;
  for (const RowScore& row : score_rows(logits, targets)) right += row.right;
  const Loss loss = add_perplexity(logits, targets, metrics);
  metrics.add("token_accuracy", right, double(count_targets(targets)));

  const Tensor* sampled = batch.find("sampled");
  const Tensor& example = batch.at("example");
  const Part& own = part(Split(batch.at("split").data<std::int32_t>()[0]));
  std::vector<int> rows;
  for (Index b = 0; b < example.size(); b++)
    if (!sampled || sampled->data<std::int32_t>()[b]) rows.push_back(int(b));
  TextScores scores = empty_scores();
  if (!std::isfinite(loss.sum.value().item())) rows.clear();  // such a model writes no texts
  for (std::size_t begin = 0; begin < rows.size(); begin += kTogether) {
    const std::size_t end = std::min(rows.size(), begin + kTogether);
    const std::vector<int> chosen(rows.begin() + long(begin), rows.begin() + long(end));
    Batch some;
    for (const char* name : {"source_ids", "source_keep", "copy_ids"})
      if (const Tensor* all = batch.find(name)) some.set(name, select_rows("translation", *all, chosen));
    const auto outputs = generate(model, some, 1);
    for (std::size_t i = begin; i < end; i++) {
      const auto& best = outputs[i - begin];
      const int number = example.data<std::int32_t>()[rows[i]];
      const std::string source = own.sources.empty() ? "" : at(own.sources, number);
      scores.add(best.empty() ? "" : text_of(best[0].ids, model, source), at(own.references, number));
    }
  }
  metrics.texts.merge(scores);
}

// ---- without a model

Index Translation::sequences(Split split, const Take& take) {
  const std::vector<std::vector<int>>& targets = part(split).target_ids;
  Index all = 0;
  for (const std::vector<int>& ids : targets) all += Index(ids.size()) - 1;
  const Index n = Index(targets.size()), step = made_up() ? std::max<Index>(1, n / kMadeUp) : stride(all);
  for (Index i = 0; i < n; i += step) {
    std::vector<int> ids = at(targets, i);  // those beyond the vocabulary are words of the source
    for (int& id : ids) id = id < target_->vocab_size() ? id : target_->unk_id();
    take(ids, 1);
  }
  return all;
}

std::vector<ReferenceLevel> Translation::levels() {
  if (examples(Split::val) == 0) return {};
  const auto pairs_of = [&](Split split) {
    std::vector<TextPair> result;
    if (!made_up()) return pairs(split);
    for (Index i = 0; i < std::min(kMadeUp, examples(split)); i++)
      result.push_back(made_up_pair(made_up_pairs(), seed_, int(split), i));
    return result;
  };
  std::vector<ReferenceLevel> result = ngram_levels(*this, target_->vocab_size());
  for (ReferenceLevel& one : pair_levels(pairs_of(Split::train), pairs_of(Split::val), empty_scores()))
    result.push_back(std::move(one));
  cut_ = {};
  return result;
}

Batch Translation::source_batch(const std::string& text, UnknownCount* unknown, Index& cut) const {
  const std::vector<int> ids = ids_of(text, source(), unknown, cut);
  const Shape shape{1, Index(ids.size())};
  Batch batch;
  put(batch, "source_ids", shape, ids);
  batch.set("source_keep", Tensor::full(shape, 1, Dtype::i32));
  if (copies_) put(batch, "copy_ids", shape, copy_ids_of(text, ids));
  return batch;
}

ProbeText Translation::probe_pair(const std::string& text, const std::string& answer) const {
  ProbeText result{text, {kBos}};
  Index cut = 0, cut_answer = 0;
  for (int id : ids_of(text, source(), nullptr, cut)) result.source.push_back(source().token(id));
  for (int id : ids_of(answer, *target_, nullptr, cut_answer)) result.words.push_back(target_->token(id));
  result.words.pop_back();  // <eos>
  result.cut = int(cut + cut_answer);
  return result;
}

Batch Translation::probe_batch(const ProbeText* texts, Index n) const {
  std::vector<std::vector<int>> sources, copies;
  auto id_of = [](const Tokenizer& tokenizer, const std::string& token) {
    const int id = tokenizer.id(token);
    return id < 0 ? tokenizer.unk_id() : id;
  };
  for (Index i = 0; i < n; i++) {
    sources.push_back(mapped(texts[i].source, [&](const auto& word) { return id_of(source(), word); }));
    if (copies_) copies.push_back(copy_ids_of(texts[i].text, sources.back()));
  }
  Batch batch;
  fill_words(batch, texts, n, nullptr, [&](auto& word) { return id_of(*target_, word); });
  fill_rows(batch, "source_ids", "source_keep", n, 0, [&](Index i) { return IdSpan(at(sources, i)); });
  if (copies_) fill_rows(batch, "copy_ids", nullptr, n, 0, [&](Index i) { return IdSpan(at(copies, i)); });
  return batch;
}

// The source place that gets most of the last layer's attention, as mean over its heads, at each token.
std::vector<std::size_t> Translation::looked_at(const std::vector<int>& ids, const Model& model,
                                                const std::string& source_text) const {
  Index cut = 0;
  Batch batch = source_batch(source_text, nullptr, cut);
  std::vector<int> before{bos_};
  before.insert(before.end(), ids.begin(), ids.end() - 1);
  batch.set("ids", Tensor::from({1, Index(before.size())}, before));
  Capture capture({"weights"});
  model.forward(batch);
  Tensor weights;  // [1, H, T, S]
  for (auto& [name, tensor] : capture.all())
    if (ends_with(name, ".cross_attn.weights")) weights = tensor;
  if (!weights.defined()) return {};
  const Index H = weights.dim(1), T = weights.dim(2), S = weights.dim(3);
  std::vector<std::size_t> places;
  for (Index t = 0; t < T; t++) {
    std::size_t best = 0;
    double most = -1;
    for (Index s = 0; s + 1 < S; s++) {  // the last is <eos>
      double sum = 0;
      for (Index h = 0; h < H; h++) sum += weights.at((h * T + t) * S + s);
      if (sum > most) most = sum, best = std::size_t(s);
    }
    places.push_back(best);
  }
  return places;
}

// The text of a hypothesis. Ids beyond the vocabulary are places of words in the source; with unknown =
// "source" each <unk> becomes the source word that is looked at when it is written.
std::string Translation::text_of(const std::vector<int>& ids, const Model& model,
                                 const std::string& source_text) const {
  const int unk = target_->unk_id(), V = target_->vocab_size();
  std::vector<int> known = ids;
  std::replace_if(
      known.begin(), known.end(), [&](int id) { return id >= V; }, unk);
  std::string text = target_->decode(known);
  const bool by_attention =
      options_.unknown == UnknownWords::source && std::count(ids.begin(), ids.end(), unk);
  if (known == ids && !by_attention) return text;
  const std::vector<std::string> words = source().split(source_text);
  const std::vector<std::size_t> places =
      by_attention ? looked_at(ids, model, source_text) : std::vector<std::size_t>();
  const std::string mark = target_->decode({unk});
  std::size_t at = 0;
  for (std::size_t t = 0; t < ids.size(); t++) {
    if (known[t] != unk) continue;
    if ((at = text.find(mark, at)) == std::string::npos) break;
    const std::size_t place = ids[t] >= V         ? std::size_t(ids[t] - V)
                              : t < places.size() ? places[t]
                                                  : words.size();
    const std::string& word = place < words.size() ? words[place] : mark;
    text.replace(at, mark.size(), word);
    at += word.size();
  }
  return text;
}

Json Translation::predict(const Model& model, const std::string& text) const {
  UnknownCount unknown;
  Index cut = 0;
  const Batch batch = source_batch(text, &unknown, cut);
  if (batch.at("source_ids").size() == 1)
    fail(Fault::usage, "text: must hold a token; got {}", in_quotes(text));
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

// The caches of the hypotheses, twice while those of a beam change places.
double Translation::scoring_bytes(const Model& model) const {
  const auto* generator = dynamic_cast<const Generator*>(&model);
  const auto rows = double(kTogether * options_.beam);
  return generator ? 2.0 * rows * generator->bytes_per_row() : 0.0;
}

}  // namespace qkv
