#include "train/attention_loss.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/at.h"
#include "data/json_members.h"
#include "data/lines.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "train/cut_heads.h"

namespace qkv {
namespace {

constexpr double kLeast = 1e-9;  // of a weight whose logarithm is taken: one that underflows has none

// Where an arrow begins or ends: a position, or a word that occurs once or is the target.
Index end_of_arrow(const Task& task, const ProbeText& text, const Json& end, const std::string& where) {
  const auto n = static_cast<Index>(text.words.size());
  if (is_unsigned(end) && end.get<std::uint64_t>() < static_cast<std::uint64_t>(n)) return end.get<Index>();
  if (!end.is_string())
    fail(Fault::data, "{}: an arrow must name words, or positions in [0, {}); got {}", where, n, brief(end));
  const auto plain = [&](const std::string& word) {
    return task.tokenizer() ? task.tokenizer()->normalize(word) : word;
  };
  const auto word = plain(end.get<std::string>());
  std::vector<Index> found;
  for (Index i = 0; i < n; i++)
    if (plain(at(text.words, i)) == word) found.push_back(i);
  if (text.target >= 0 && plain(at(text.words, text.target)) == word) return text.target;
  if (found.size() != 1)
    fail(Fault::data, "{}: the text must hold the word {} once; got it {} times{}", where,
         in_quotes(end.get<std::string>()), found.size(),
         found.empty() ? suggest(word, text.words) : " (give its position from 0)");
  return found[0];
}

DrawnText read_arrows(const Task& task, const ProbeText& text, const Json& list, const std::string& where) {
  std::vector<DrawnText::Arrow> arrows;
  std::map<Index, double> sums;
  for (const Json& one : list) {
    const bool weighted = one.is_array() && one.size() == 3 && one[2].is_number();
    const double weight = weighted ? one[2].get<double>() : 1.0;
    if (!one.is_array() || (one.size() != 2 && !weighted) || !(weight > 0 && weight <= 1e6))
      fail(Fault::data,
           "{}: an arrow must be [from, to] or [from, to, weight] with a weight in (0, 1e6]; got {}", where,
           brief(one));
    const Index from = end_of_arrow(task, text, one[0], where), to = end_of_arrow(task, text, one[1], where);
    for (const DrawnText::Arrow& other : arrows)
      if (other.from == from && other.to == to)
        fail(Fault::data, "{}: each arrow must be drawn once; got {} twice", where, brief(one));
    arrows.push_back({from, to, weight});
    sums[from] += weight;
  }
  if (arrows.empty()) fail(Fault::data, "{}: a text must have an arrow; got none", where);
  for (DrawnText::Arrow& arrow : arrows) arrow.share /= sums[arrow.from];
  return {text, arrows, static_cast<Index>(sums.size())};
}

struct LayerWeights {
  std::string name;
  Var weights;  // [B, H, T, T]
  bool chosen(Index head, const std::vector<std::string>& patterns) const {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return names_head(pattern, name, head); });
  }
  Index element(Index b, Index head, const DrawnText::Arrow& arrow) const {
    const Index H = weights.dim(1), T = weights.dim(2);
    return ((b * H + head) * T + arrow.from) * T + arrow.to;
  }
};

// The weights of all self-attention while the model reads these texts.
std::vector<LayerWeights> weights_of(const Experiment& e, const std::vector<ProbeText>& texts) {
  std::vector<LayerWeights> found;
  const Intervention look({"weights"}, [&](const std::string& name, const Var& x) {
    if (name.find("cross_attn") == std::string::npos) found.push_back({name.substr(0, name.rfind('.')), x});
    return x;
  });
  e.model->forward(e.task->probe_batch(texts.data(), static_cast<Index>(texts.size())));
  return found;
}

void check_visible(const DrawnText& drawn, const LayerWeights& layer, Index head, const std::string& file) {
  for (const DrawnText::Arrow& arrow : drawn.arrows)
    if (layer.weights.value().at(layer.element(0, head, arrow)) == 0)
      fail(Fault::data, "{}: arrows must lead to words that head {} of {} can see; got {} to {} in {}", file,
           head, layer.name, arrow.from, arrow.to, in_quotes(drawn.text.text));
}

}  // namespace

std::vector<DrawnText> read_drawn(const Task& task, const std::string& file) {
  std::vector<DrawnText> texts;
  for_lines(file, [&](const std::string& line, const std::string& where) {
    const Json object = parse_json(line, where, {kMaxLine, 8});
    check_members(object, {"text", "arrows"}, where);
    const std::string text = string_member(object, "text", where);
    std::vector<ProbeText> probes;
    try {
      probes = task.probe_texts({text});
    } catch (const Error& error) {
      fail(Fault::data, "{}: {}", where, error.what());
    }
    if (probes.empty())
      fail(Fault::usage, "{}: the task must show the words of a text; got one that does not", where);
    texts.push_back(read_arrows(task, probes[0], list_member(object, "arrows", where), where));
  });
  if (texts.empty()) fail(Fault::data, "{}: must have a text with arrows; got only empty lines", file);
  return texts;
}

std::vector<FollowedArrows> followed_arrows(const Experiment& e, const std::vector<DrawnText>& texts) {
  std::vector<FollowedArrows> found;
  double rows = 0;
  for (const DrawnText& drawn : texts) {
    rows += static_cast<double>(drawn.rows);
    std::size_t i = 0;
    for (const LayerWeights& layer : weights_of(e, {drawn.text}))
      for (Index head = 0; head < layer.weights.dim(1); head++, i++) {
        if (i == found.size()) found.push_back({layer.name, head, 0});
        for (const DrawnText::Arrow& arrow : drawn.arrows)
          found[i].share += layer.weights.value().at(layer.element(0, head, arrow));
      }
  }
  for (FollowedArrows& one : found) one.share /= rows;
  return found;
}

AttentionLoss::AttentionLoss(const Experiment& e, const AttentionLossConfig& config)
    : experiment_(e), config_(config), texts_(read_drawn(*e.task, config.file)) {
  std::vector<std::string> heads;  // without values, those of layers with a W_O; others show when they train
  if (e.parameters->symbolic()) heads = heads_of(*e.parameters);
  const bool known = !e.parameters->symbolic() || !heads.empty();
  for (std::size_t i = 0; i < texts_.size() && !e.parameters->symbolic(); i++)
    for (const LayerWeights& layer : weights_of(e, {texts_[i].text}))
      for (Index head = 0; head < layer.weights.dim(1); head++) {
        if (i == 0) heads.push_back(fmt::format("{}.{}", layer.name, head));
        if (!layer.chosen(head, config.heads)) continue;
        rows_ += static_cast<double>(texts_[i].rows);
        check_visible(texts_[i], layer, head, config.file);
      }
  const std::optional<std::string> unknown = names_no_head(config.heads, heads);
  if (config.heads.empty() || (known && unknown))
    e.config.section("train")
        .section("attention_loss")
        .report("heads", fmt::format("must name heads of self-attention as LAYER.HEAD, such as 0.*; got {}",
                                     unknown ? *unknown + ", which the model lacks" : "none"));
}

Var AttentionLoss::add_to(const Loss& loss, int s, int shards, double& divergence) const {
  std::vector<ProbeText> texts;
  std::vector<const DrawnText*> own;
  for (auto i = static_cast<std::size_t>(s); i < texts_.size(); i += static_cast<std::size_t>(shards))
    texts.push_back(texts_[i].text), own.push_back(&texts_[i]);
  if (own.empty()) return loss.sum;
  Var sum_of_logs;
  double entropy = 0;  // minus the sum of p log p
  for (const LayerWeights& layer : weights_of(experiment_, texts)) {
    Tensor wanted = Tensor::zeros(layer.weights.shape(), Dtype::f64);  // p
    bool any = false;
    for (Index head = 0; head < wanted.dim(1); head++) {
      if (!layer.chosen(head, config_.heads)) continue;
      any = true;
      for (std::size_t b = 0; b < own.size(); b++)
        for (const DrawnText::Arrow& arrow : own[b]->arrows) {
          wanted.data<double>()[layer.element(static_cast<Index>(b), head, arrow)] = arrow.share;
          entropy -= arrow.share * std::log(arrow.share);
        }
    }
    if (!any) continue;
    const Var logs = sum(log(layer.weights + kLeast) * wanted.to(layer.weights.dtype()));
    sum_of_logs = sum_of_logs.defined() ? sum_of_logs + logs : logs;
  }
  const double scale = loss.count * shards / rows_;
  divergence += scale * (-entropy - sum_of_logs.value().item());
  return loss.sum - sum_of_logs * (config_.weight * scale);
}

}  // namespace qkv
