#include "train/circuits.h"

#include <algorithm>
#include <cmath>

#include "base/at.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/replace.h"
#include "train/head_scores.h"

namespace qkv {
namespace {

constexpr Index kGroupTokens = 2048;  // of texts that pass together

// What one group of texts gives: the sum of the losses, and of how many answers.
struct Answers {
  double loss = 0, count = 0;
};

// A number measured on groups of texts, and its standard error.
struct Effect {
  double value = 0, error = 0;
  bool sure() const { return value > 3 * error && value > 0; }
};

Effect effect_of(const std::vector<Answers>& whole, const std::vector<double>& changed) {
  double loss = 0, count = 0, squares = 0;
  for (std::size_t g = 0; g < whole.size(); g++) loss += changed[g] - whole[g].loss, count += whole[g].count;
  const double mean = loss / count, n = static_cast<double>(whole.size());
  for (std::size_t g = 0; g < whole.size(); g++)
    squares += std::pow((changed[g] - whole[g].loss) / whole[g].count - mean, 2);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

}  // namespace

struct Circuits::Parts {
  struct Layer {
    std::string path;
    Index heads;
  };
  struct Head {
    std::size_t layer;
    Index head;
  };
  // One group of texts as the whole model reads it.
  struct Seen {
    std::vector<HeadScores> all, asked;  // by head: of all rows, and of those with answers
    std::vector<Tensor> sums;            // by layer: of the outputs [H, D] (f64)
    std::vector<double> rows;            // by layer: that these are the sums of
  };
  using Batches = std::vector<Batch>;
  using Heads = std::vector<std::size_t>;

  const Experiment& e;
  CircuitPlan plan = {};
  std::vector<Layer> layers = {};  // in the order of the forward pass
  std::vector<Head> heads = {};
  Batches texts = {}, others = {};

  Part part(std::size_t head) const { return {layers[heads[head].layer].path + ".heads", heads[head].head}; }
  Answers answer(const Batch& batch) const {
    const Loss loss = e.task->loss(*e.model, batch);
    return {loss.sum.value().item(), loss.count};
  }
  // The loss with a source in the place of each of these heads.
  template <class SourceOf>
  double loss_with(const Batch& batch, const Heads& chosen, const SourceOf& source) const {
    std::vector<std::pair<qkv::Part, Source>> parts;
    for (std::size_t head : chosen) parts.emplace_back(part(head), source(head));
    const Intervention change({"heads"}, replacing(std::move(parts)));
    return answer(batch).loss;
  }

  void find_heads(Split split);
  Batches batches(Split split, Index first) const;
  Answers read(const Batch& batch, Seen& seen) const;
  std::vector<Source> means(const std::vector<Seen>& seen) const;
  // Calls f(k, g) for each of n things and each group of texts, and returns the results of each thing.
  template <class F>
  std::vector<std::vector<double>> of_groups(std::size_t n, const F& f) const {
    std::vector<std::vector<double>> results(n, std::vector<double>(texts.size()));
    pool().run(static_cast<int>(n * texts.size()), [&](int i, int) {
      const std::size_t k = static_cast<std::size_t>(i) / texts.size(),
                        g = static_cast<std::size_t>(i) % texts.size();
      results[k][g] = f(k, g);
    });
    return results;
  }
  void add_heads(const std::vector<Seen>& seen, const std::vector<Effect>& ablations,
                 CircuitScores& result) const;
  std::vector<Heads> add_groups(CircuitScores& result) const;
  void add_paths(const std::vector<Answers>& whole, const std::vector<Source>& means,
                 const std::vector<Heads>& members, CircuitScores& result) const;
};

// ---- the plan

void Circuits::Parts::find_heads(Split split) {
  Batch batch;
  const int first = 0;
  collate(*e.task, split, &first, 1, nullptr, batch);
  const Capture capture({"heads"});
  answer(batch);
  for (const auto& [name, tensor] : capture.all()) {
    for (Index h = 0; h < tensor.dim(2); h++) heads.push_back({layers.size(), h});
    layers.push_back({name.substr(0, name.rfind('.')), tensor.dim(2)});
  }
}

// Groups of the examples `first`, `first` + 2, .. of twice as many as the plan has, spread evenly.
Circuits::Parts::Batches Circuits::Parts::batches(Split split, Index first) const {
  const Index n = e.task->examples(split);
  std::vector<int> examples;
  Index longest = 1;
  for (Index i = first; i < 2 * plan.texts; i += 2) {
    examples.push_back(static_cast<int>(i * n / (2 * plan.texts)));
    longest = std::max(longest, e.task->length(split, examples.back()));
  }
  const Index group = std::clamp<Index>(kGroupTokens / longest, 1, 8);
  Batches result;
  for (Index i = 0; i < plan.texts; i += group) {
    result.emplace_back();
    collate(*e.task, split, &at(examples, i), std::min(group, plan.texts - i), nullptr, result.back());
  }
  return result;
}

Circuits::Circuits(const Experiment& e, double share, const std::vector<std::int64_t>& captures,
                   std::int64_t max_steps)
    : parts_(new Parts{e}) {
  Parts& p = *parts_;
  const Split split = circuit_split(*e.task);
  if (share == 0 || e.task->examples(split) == 0) return;
  p.find_heads(split);
  p.plan =
      plan_circuits(e, static_cast<Index>(p.heads.size()), p.layers.size() > 1, share, captures, max_steps);
  if (p.plan.steps.empty()) return;
  p.texts = p.batches(split, 0), p.others = p.batches(split, 1);
}

Circuits::~Circuits() = default;

const CircuitPlan& Circuits::plan() const {
  return parts_->plan;
}

// ---- scores

// Reads a group of texts with the whole model.
Answers Circuits::Parts::read(const Batch& batch, Seen& seen) const {
  const Capture capture({"heads", "weights"});
  const Answers answers = answer(batch);
  seen.all.resize(heads.size()), seen.asked.resize(heads.size());
  std::vector<double> row;
  std::size_t first = 0;  // head of the layer
  for (const Layer& layer : layers) {
    const Tensor *outputs = capture.find(layer.path + ".heads"),
                 *weights = capture.find(layer.path + ".weights");
    const Index B = outputs->dim(0), T = outputs->dim(1), H = layer.heads, width = H * outputs->dim(3);
    const bool self = weights && weights->dim(3) == T && !ends_with(layer.path, "cross_attn");
    Tensor sum = Tensor::zeros({H, outputs->dim(3)}, Dtype::f64);
    seen.rows.push_back(0);
    for (Index b = 0; b < B; b++) {
      const ReadTokens text = self ? tokens_of(batch, layer.path, b, T) : ReadTokens();
      const auto known = static_cast<Index>(text.ids.size());
      const Index size = known > 0 ? known : T, begin = b * T * width;
      for (Index i = 0; i < size * width; i++) sum.data<double>()[i % width] += outputs->at(begin + i);
      seen.rows.back() += static_cast<double>(size);
      row.resize(text.ids.size());
      for (Index h = 0; h < H; h++)
        for (Index t = 0; t < known; t++) {
          for (Index s = 0; s < known; s++) at(row, s) = weights->at(((b * H + h) * T + t) * T + s);
          const std::size_t head = first + static_cast<std::size_t>(h);
          seen.all[head].add(text, t, row.data());
          if (answers_at(batch, text, b, T, t)) seen.asked[head].add(text, t, row.data());
        }
    }
    seen.sums.push_back(sum);
    first += static_cast<std::size_t>(H);
  }
  return answers;
}

// The mean output of each head.
std::vector<Source> Circuits::Parts::means(const std::vector<Seen>& seen) const {
  std::vector<Source> result;
  for (std::size_t layer = 0; layer < layers.size(); layer++) {
    Tensor sum = seen[0].sums[layer].clone();
    double rows = seen[0].rows[layer];
    for (std::size_t g = 1; g < seen.size(); g++) rows += seen[g].rows[layer], sum.add(seen[g].sums[layer]);
    const Tensor mean = div(sum, rows).value().to(e.parameters->dtype());
    for (Index h = 0; h < layers[layer].heads; h++) result.push_back(with_value(mean));
  }
  return result;
}

// What the heads attend to.
void Circuits::Parts::add_heads(const std::vector<Seen>& seen, const std::vector<Effect>& ablations,
                                CircuitScores& result) const {
  for (std::size_t h = 0; h < heads.size(); h++) {
    HeadScores all, asked;
    for (const Seen& one : seen) all.merge(one.all[h]), asked.merge(one.asked[h]);
    const HeadRole role = role_of(all, asked);
    result.heads.push_back(
        {layers[heads[h].layer].path, heads[h].head, ablations[h].value, role.name, role.match});
  }
}

// Cuts out together the heads of a layer that have the same role, as one may do the work of another. Where
// the loss on other texts is not larger then, they lose it. The members of each group.
std::vector<Circuits::Parts::Heads> Circuits::Parts::add_groups(CircuitScores& result) const {
  std::vector<CircuitGroup> groups = groups_of(result.heads);
  groups.resize(std::min(groups.size(), static_cast<std::size_t>(plan.cuts)));
  std::vector<Heads> members(groups.size()), kept;
  for (std::size_t h = 0; h < heads.size(); h++)
    for (std::size_t k = 0; k < groups.size(); k++)
      if (groups[k].has(result.heads[h])) members[k].push_back(h);
  std::vector<Answers> whole(others.size());
  if (!groups.empty())
    pool().run(static_cast<int>(whole.size()), [&](int g, int) { at(whole, g) = answer(at(others, g)); });
  const auto losses = of_groups(groups.size(), [&](std::size_t k, std::size_t g) {
    return loss_with(others[g], members[k], [](std::size_t) { return with_zero(); });
  });
  result.passes +=
      static_cast<double>(groups.empty() ? 0 : plan.texts * static_cast<Index>(1 + groups.size()));
  for (std::size_t k = 0; k < groups.size(); k++) {
    const Effect cut = effect_of(whole, losses[k]);
    if (!cut.sure()) continue;
    groups[k].cut = cut.value;
    result.groups.push_back(groups[k]), kept.push_back(members[k]);
  }
  for (CircuitHead& head : result.heads) {
    const bool lost = std::none_of(result.groups.begin(), result.groups.end(),
                                   [&](const CircuitGroup& group) { return group.has(head); });
    if (lost) head.role.clear(), head.match = 0;
  }
  return kept;
}

// Between groups of different layers, those first whose lesser one the answers need most.
void Circuits::Parts::add_paths(const std::vector<Answers>& whole, const std::vector<Source>& means,
                                const std::vector<Heads>& members, CircuitScores& result) const {
  struct Path {
    std::size_t from, to;
    double need;
  };
  std::vector<Path> paths;
  const std::vector<CircuitGroup>& groups = result.groups;
  for (std::size_t a = 0; a < groups.size(); a++)
    for (std::size_t b = 0; b < groups.size(); b++)
      if (heads[members[a][0]].layer < heads[members[b][0]].layer)
        paths.push_back({a, b, std::min(groups[a].cut, groups[b].cut)});
  std::stable_sort(paths.begin(), paths.end(), [](const Path& a, const Path& b) { return a.need > b.need; });
  paths.resize(std::min(paths.size(), static_cast<std::size_t>(plan.paths)));
  const auto losses = of_groups(paths.size(), [&](std::size_t p, std::size_t g) {
    const Capture capture({"heads"});
    loss_with(texts[g], members[paths[p].from], [&](std::size_t head) { return means[head]; });
    const Tensor then = *capture.find(part(members[paths[p].to][0]).name);
    return loss_with(texts[g], members[paths[p].to], [&](std::size_t) { return with_value(then); });
  });
  result.passes += static_cast<double>(2 * plan.texts * static_cast<Index>(paths.size()));
  for (std::size_t p = 0; p < paths.size(); p++)
    if (const Effect patching = effect_of(whole, losses[p]); patching.sure())
      result.paths.push_back({groups[paths[p].from].name(), groups[paths[p].to].name(), patching.value});
}

CircuitScores Circuits::score(std::int64_t step) const {
  const Parts& p = *parts_;
  std::vector<Answers> whole(p.texts.size());
  std::vector<Parts::Seen> seen(p.texts.size());
  pool().run(static_cast<int>(p.texts.size()),
             [&](int g, int) { at(whole, g) = p.read(at(p.texts, g), at(seen, g)); });
  CircuitScores result;
  result.step = step;
  double count = 0;
  for (const Answers& one : whole) result.loss += one.loss, count += one.count;
  result.loss /= count;
  const std::vector<Source> means = p.means(seen);
  std::vector<Effect> ablations;
  for (const std::vector<double>&losses : p.of_groups(p.heads.size(), [&](std::size_t h, std::size_t g) {
         return p.loss_with(p.texts[g], {h}, [&](std::size_t head) { return means[head]; });
       }))
    ablations.push_back(effect_of(whole, losses));
  result.passes = static_cast<double>(p.plan.texts * static_cast<Index>(1 + p.heads.size()));
  p.add_heads(seen, ablations, result);
  p.add_paths(whole, means, p.add_groups(result), result);
  return result;
}

}  // namespace qkv
