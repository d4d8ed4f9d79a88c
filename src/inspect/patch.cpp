#include "inspect/patch.h"

#include <algorithm>
#include <map>

#include "base/at.h"
#include "inspect/look.h"
#include "qkv/base/text.h"

namespace qkv {

Alignment aligned(const std::vector<std::string>& text, const std::vector<std::string>& other) {
  const std::size_t n = text.size(), m = other.size(), least = std::min(n, m);
  std::size_t begin = 0, end = 0;
  if (n == m) begin = n;
  while (begin < least && text[begin] == other[begin]) begin++;
  while (begin + end < least && text[n - 1 - end] == other[m - 1 - end]) end++;
  Alignment result;
  for (std::size_t i = 0; i < begin; i++) result.emplace_back(i, i);
  for (std::size_t i = end; i > 0; i--) result.emplace_back(n - i, m - i);
  return result;
}

static double restored(const PatchEffects& p, const Tensor& logits, Index row) {
  return (p.text.score(logits, row) - p.before) / (p.after - p.before);
}

// Both texts are asked about the other's answer against the text's.
static void agree_on_answers(PatchEffects& p, const AskOptions& options) {
  Asked &a = p.text, &b = p.other;
  const Index answer = options.answer.empty() ? b.answer : a.answer,
              against = options.against.empty() ? (options.answer.empty() ? a.answer : b.answer) : a.against;
  if (answer == against)
    fail(Fault::usage,
         "inspect patch: the texts must have different answers; got {} for both (try --answer, --against)",
         in_quotes(a.answers[std::size_t(answer)]));
  a.answer = b.answer = answer, a.against = b.against = against;
  p.before = a.score(), p.after = b.score();
}

PatchEffects patch(const Experiment& e, const std::string& text, const std::string& other,
                   const AskOptions& options, const AskOptions& other_options) {
  PatchEffects p;
  p.text = ask(e, "inspect patch", text, options);
  p.other = ask(e, "inspect patch", other, other_options);
  agree_on_answers(p, options);
  p.words = aligned(p.text.text.words, p.other.text.words);
  p.source = aligned(p.text.text.source, p.other.text.source);
  if (p.words.empty() && p.source.empty())
    fail(Fault::usage,
         "inspect patch: the texts must have one length, or words in common at the beginning or end; got {} "
         "and {} words without",
         p.text.text.words.size(), p.other.text.words.size());
  const std::vector<std::string> kinds{"in", "residual", "out", "heads"};
  const Activations donors = activations_of(e, p.other.text, kinds);
  std::vector<std::string> sublayers;
  for (const std::string& point : stream_points(donors)) {
    p.points.push_back(point);
    const std::string written = path_of(point) + ".out";
    if (ends_with(point, ".residual") && find_activation(donors, written)) sublayers.push_back(written);
  }
  if (p.points.empty()) lacks(e, "inspect patch", "layers");
  p.points.insert(p.points.end(), sublayers.begin(), sublayers.end());
  drop_if(p.points, [&](const std::string& name) { return p.positions(name).empty(); });
  std::vector<std::vector<Swap>> rows;
  for (const std::string& name : p.points)
    for (const auto& pair : p.positions(name))
      rows.push_back({{name, -1, *find_activation(donors, name), {pair}}});
  for (const auto& [name, tensor] : donors) {
    if (!ends_with(name, ".heads") || p.positions(name).empty()) continue;
    for (Index h = 0; h < tensor.dim(2); h++) {
      p.heads.push_back({path_of(name), h, 0, {}});
      rows.push_back({{name, h, tensor, p.positions(name)}});
      for (const auto& pair : p.positions(name)) rows.push_back({{name, h, tensor, {pair}}});
    }
  }
  const Tensor logits = swapped_logits(e, p.text, rows);
  Index row = 0;
  for (const std::string& name : p.points) {
    p.at_points.emplace_back();
    for (std::size_t i = 0; i < p.positions(name).size(); i++)
      p.at_points.back().push_back(restored(p, logits, row++));
  }
  for (PatchEffects::Head& head : p.heads) {
    head.all = restored(p, logits, row++);
    for (std::size_t i = 0; i < p.positions(head.layer + ".heads").size(); i++)
      head.at.push_back(restored(p, logits, row++));
  }
  return p;
}

// ---- paths

// Every position of an activation stands for itself.
static Alignment itself(const Tensor& x) {
  Alignment all;
  for (Index t = 0; t < x.dim(1); t++) all.emplace_back(t, t);
  return all;
}

std::vector<PathEffect> path_effects(const Experiment& e, const PatchEffects& p) {
  const Activations donors = activations_of(e, p.other.text, {"heads"}),
                    own = activations_of(e, p.text.text, {"heads"});
  // Row s: the sender s gives what it gave in the other text; all other heads give what they gave in this.
  std::vector<std::vector<Swap>> rows;
  for (const PatchEffects::Head& sender : p.heads) {
    rows.emplace_back();
    for (const auto& [name, tensor] : own) rows.back().push_back({name, -1, tensor, itself(tensor)});
    const std::string name = sender.layer + ".heads";
    rows.back().push_back({name, sender.head, *find_activation(donors, name), p.positions(name)});
  }
  if (rows.empty()) return {};
  Activations read;
  const Tensor direct = swapped_logits(e, p.text, rows, {"queries", "keys", "values", "heads"}, &read);
  std::vector<PathEffect> result;
  for (std::size_t s = 0; s < p.heads.size(); s++)
    result.push_back({p.heads[s].layer, "", p.heads[s].head, -1, "", restored(p, direct, Index(s))});
  // What a receiver then reads is all that it gets of that: one row for each of its inputs.
  std::map<std::string, std::size_t> order;
  for (const auto& [name, tensor] : read) order.emplace(path_of(name), order.size());
  rows.clear();
  for (std::size_t s = 0; s < p.heads.size(); s++)
    for (const auto& [name, tensor] : read) {
      const std::string layer = path_of(name), by = name.substr(layer.size() + 1);
      if (by == "heads" || order[layer] <= order[p.heads[s].layer]) continue;
      const Tensor* heads = find_activation(own, layer + ".heads");
      if (!heads) continue;
      const Index H = heads->dim(2), group = H / tensor.dim(2);
      for (Index h = 0; h < tensor.dim(2); h++) {
        const Tensor from = tensor.rows(Index(s), 1);
        rows.push_back({{name, h, from, itself(from)}});
        result.push_back({p.heads[s].layer, layer, p.heads[s].head, by == "queries" ? h : h * group, by, 0});
      }
    }
  if (rows.empty()) return result;
  const Tensor logits = swapped_logits(e, p.text, rows);
  for (std::size_t i = 0; i < rows.size(); i++)
    result[p.heads.size() + i].effect = restored(p, logits, Index(i));
  return result;
}

}  // namespace qkv
