// WordSenses: the answer for one sentence, with what the target word attended to.
#include <algorithm>
#include <cmath>

#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/data/split.h"
#include "qkv/ops/softmax.h"
#include "qkv/task/wsd.h"

namespace qkv {
namespace {

// The attention row of the target in the last layer, mean over heads: one weight per word. Empty without
// attention.
std::vector<double> attention_row(const Capture& capture, Index target) {
  const Tensor* weights = nullptr;  // [1, H, T, T]
  for (auto& [name, tensor] : capture.all())
    if (name.size() >= 7 && name.compare(name.size() - 7, 7, "weights") == 0) weights = &tensor;
  if (!weights) return {};
  const Index H = weights->dim(1), T = weights->dim(3);
  std::vector<double> row(static_cast<std::size_t>(T), 0.0);
  for (Index h = 0; h < H; h++)
    for (Index s = 0; s < T; s++)
      row[static_cast<std::size_t>(s)] += weights->at((h * T + target) * T + s) / static_cast<double>(H);
  return row;
}

}  // namespace

Json WordSenses::predict(const Model& model, const std::string& text) const {
  // The target is the bracketed word, else the only word whose form was a target in training.
  WsdExample example;
  if (text.find('[') != std::string::npos) {
    example = parse_wsd_sentence(text);
  } else {
    for (std::string_view word : split_text(text)) example.words.emplace_back(word);
    std::vector<int> found;
    for (std::size_t i = 0; i < example.words.size(); i++)
      if (std::count(target_forms_.begin(), target_forms_.end(), tokenizer_->normalize(example.words[i])))
        found.push_back(static_cast<int>(i));
    if (found.size() != 1)
      fail(Fault::data,
           "predict: the text must hold one target word ({}), or one in [brackets]; got {} in \"{}\"",
           join(target_forms_, ", "), found.size(), text);
    example.target = found[0];
  }
  UnknownCount unknown;
  WordSenses* self = const_cast<WordSenses*>(this);  // new surface forms enter the table of n-grams
  const Encoded encoded = self->encode(example, &unknown);
  const Encoded* one = &encoded;
  Batch batch;
  fill(&one, 1, nullptr, batch);

  Capture capture;
  const Tensor p = softmax(model.forward(batch)).value();  // [1, n_class]
  std::vector<int> order;
  for (int c = 0; c < static_cast<int>(labels_.size()); c++) order.push_back(c);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return p.at(a) > p.at(b); });

  Json result = Json::object();
  result["text"] = text;
  const std::size_t first =
      static_cast<std::size_t>(example.target - encoded.target);  // words cut off on the left
  result["target"] = example.words[static_cast<std::size_t>(example.target)];
  result["sense"] = labels_[static_cast<std::size_t>(order[0])];
  result["probability"] = p.at(order[0]);
  Json all = Json::object();
  for (int c : order) all[labels_[static_cast<std::size_t>(c)]] = p.at(c);
  result["probabilities"] = all;
  Json attention = Json::array();
  const std::vector<double> row = attention_row(capture, encoded.target);
  for (std::size_t t = 0; t < row.size(); t++)
    attention.push_back({{"word", example.words[first + t]},
                         {"weight", row[t]},
                         {"known", encoded.ids[t] != tokenizer_->unk_id()}});
  result["attention"] = attention;
  return result;
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
    text += fmt::format("    {}{}  {:.3f}  {}\n", word,
                        std::string(static_cast<std::size_t>(width - display_width(word)), ' '), weight,
                        std::string(static_cast<std::size_t>(std::lround(weight * 40)), '#'));
  }
  return text;
}

}  // namespace qkv
