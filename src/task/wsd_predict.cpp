// WordSenses: the answer for one sentence, with what the target word attended to.
#include <cmath>

#include "data/split.h"
#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "task/wsd.h"

namespace qkv {
namespace {

// The attention row of the target in the first layer, mean over heads: one weight per word. Only there do the
// positions hold the words themselves; further up they hold mixtures, and the weights say little about words.
// Empty without attention.
std::vector<double> attention_row(const Capture& capture, Index target) {
  if (capture.all().empty()) return {};
  const Tensor& weights = capture.all().front().second;                    // [1, H, T, T]
  if (weights.rank() != 4 || weights.dim(2) != weights.dim(3)) return {};  // of a registered layer
  const Index H = weights.dim(1), T = weights.dim(3);
  std::vector<double> row(std::size_t(T), 0.0);
  for (Index h = 0; h < H; h++)
    for (Index s = 0; s < T; s++) at(row, s) += weights.at((h * T + target) * T + s) / double(H);
  return row;
}

}  // namespace

// The target is the bracketed word, else the only word whose form was a target in training.
WsdExample WordSenses::marked(const std::string& text) const {
  if (text.find('[') != std::string::npos) return parse_wsd_sentence(text);
  WsdExample example;
  int found = 0;
  for (std::string_view word : split_text(text)) {
    const std::string form = tokenizer_->normalize(word);
    if (std::count(target_forms_.begin(), target_forms_.end(), form)) {
      example.target = int(example.words.size());
      found++;
    }
    example.words.emplace_back(word);
  }
  if (found != 1)
    fail(Fault::data, "text: must hold one target word ({}), or one in [brackets]; got {} in {}",
         join(target_forms_, ", "), found, in_quotes(text));
  return example;
}

Json WordSenses::predict(const Model& model, const std::string& text) const {
  const WsdExample example = marked(text);
  WordForms forms;
  const Encoded encoded = encode(example, forms, nullptr);
  const int only = 0;
  Batch batch;
  fill(&encoded, &only, 1, forms, nullptr, batch);
  Capture capture({"weights"});
  Json prediction = {{"text", text}, {"target", at(example.words, example.target)}};
  add_answer(prediction, "sense", finite_forward(model, batch));

  Json attention = Json::array();
  const std::vector<double> row = attention_row(capture, encoded.target);
  for (std::size_t t = 0; t < row.size();) {  // the weight of a word is that of all its tokens
    const int word = encoded.words[t];
    double weight = 0;
    bool known = true;
    for (; t < row.size() && encoded.words[t] == word; t++) {
      weight += row[t];
      known = known && encoded.ids[t] != tokenizer_->unk_id();
    }
    attention.push_back({{"word", at(example.words, word)}, {"weight", rounded(weight)}, {"known", known}});
  }
  prediction["attention"] = std::move(attention);
  prediction["cut_tokens"] = encoded.cut;
  return prediction;
}

// ---- a look inside

ProbeText WordSenses::probe_text(const WsdExample& example, const std::string& text) const {
  WordForms forms;
  const Encoded encoded = encode(example, forms, nullptr);
  ProbeText result{text, {}, encoded.target, example.label, -1, encoded.cut};
  for (std::size_t t = 0; t < encoded.ids.size(); t++)
    result.words.push_back(tokenizer_->subwords() ? tokenizer_->token(encoded.ids[t])
                                                  : at(example.words, encoded.words[t]));
  return result;
}

std::vector<ProbeText> WordSenses::probe_texts(const std::vector<std::string>& texts) const {
  return mapped(texts, [&](const std::string& text) {
    WsdExample example = marked(text);
    example.label = -1;
    return probe_text(example, text);
  });
}

std::vector<ProbeText> WordSenses::probe_examples(Split split, Index per_class) {
  load(split);
  std::vector<Index> taken(labels_.size(), 0);
  std::vector<ProbeText> result;
  for (const WsdExample& example : parts_[split].sentences) {
    if (at(taken, example.label)++ >= per_class) continue;
    result.push_back(probe_text(example, bracketed(example)));
  }
  return result;
}

Batch WordSenses::probe_batch(const ProbeText* texts, Index n) const {
  WordForms forms;
  std::vector<Encoded> encoded;
  std::vector<int> order;
  for (Index i = 0; i < n; i++) {
    encoded.push_back({{}, {}, {}, texts[i].target, std::max(0, texts[i].label)});
    for (const std::string& word : texts[i].words) {
      encoded.back().ids.push_back(tokenizer_->subwords() ? tokenizer_->id(word) : tokenizer_->id_of(word));
      if (data_.ngram_buckets > 0)
        encoded.back().forms.push_back(form_of(tokenizer_->normalize(word), forms));
    }
    order.push_back(int(i));
  }
  Batch batch;
  fill(encoded.data(), order.data(), n, forms, nullptr, batch);
  return batch;
}

std::string WordSenses::readable(const Json& prediction) const {
  std::string text =
      fmt::format("{}\n  {} = {}  (p = {:.3f})\n", prediction["text"].get<std::string>(),
                  prediction["target"].get<std::string>(), prediction["sense"].get<std::string>(),
                  prediction["probability"].get<double>());
  const Json& attention = prediction["attention"];
  if (attention.empty()) return text;
  text += fmt::format("  \"{}\" attends to\n", prediction["target"].get<std::string>());
  int width = 0;
  for (const Json& a : attention) width = std::max(width, display_width(a["word"].get<std::string>()));
  for (const Json& a : attention) {
    const std::string word = a["word"].get<std::string>();
    const double weight = a["weight"].get<double>();
    const std::string gap(std::size_t(width - display_width(word)), ' ');
    const std::string bar(std::size_t(std::lround(weight * 40)), '#');
    text += fmt::format("    {}{}  {:.3f}{}{}\n", word, gap, weight, bar.empty() ? "" : "  ", bar);
  }
  return text;
}

}  // namespace qkv
