#include "inspect/blame.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/at.h"
#include "data/random_choice.h"
#include "qkv/base/threads.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "train/train_step.h"

namespace qkv {

Question log_odds_of(const Experiment& e, const Asked& asked) {
  return [&e, asked](const Model& model) {
    const Var logits = answers_at(model.forward(e.task->probe_batch(&asked.text, 1)), asked.position);
    const Index a = asked.answer, C = logits.dim(1);  // [1, C]
    QKV_CHECK(C > 1, "blame: the model must choose between at least two answers; got {}", C);
    const Var below = slice(logits, 1, 0, a), above = slice(logits, 1, a + 1, C);
    const Var others = a == 0 ? above : a == C - 1 ? below : concat({below, above}, 1);
    return sum(slice(logits, 1, a, a + 1)) - sum(logsumexp(others, -1));
  };
}

std::vector<std::int64_t> blamed(const std::vector<double>& effects, std::size_t count, bool against) {
  const double sign = against ? -1 : 1;
  std::vector<std::int64_t> order(effects.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return sign * at(effects, a) < sign * at(effects, b);
  });
  order.resize(std::min(count, order.size()));
  while (!order.empty() && !(sign * at(effects, order.back()) < 0)) order.pop_back();
  return order;
}

std::vector<std::int64_t> random_examples(Task& task, std::size_t count, std::int64_t seed) {
  const Index n = task.examples(Split::train);
  const Stream keys(static_cast<std::uint64_t>(seed), "blame");
  std::vector<std::int64_t> result;
  for (Index i = 0; i < std::min(n, static_cast<Index>(count)); i++) result.push_back(permuted(i, n, keys));
  return result;
}

double effect_of(const std::vector<double>& effects, const std::vector<std::int64_t>& examples) {
  double sum = 0;
  for (const std::int64_t example : examples) sum += at(effects, example);
  return sum;
}

namespace {

// What trainings say about an example.
struct Opinion {
  std::vector<double> log_p;  // of each class: weighted sum
  double weight = 0;          // of all that was added up
  int label = -1;
};

void add_opinions(const Training& t, const std::vector<double>& weights, std::vector<Opinion>& all) {
  const Experiment& e = t.experiment;
  const Index n = static_cast<Index>(all.size()), size = t.tables.batches.eval_batch_size;
  pool().run(static_cast<int>((n + size - 1) / size), [&](int b, int) {
    std::vector<int> examples;
    for (Index i = b * size; i < std::min(n, (b + 1) * size); i++) examples.push_back(static_cast<int>(i));
    Batch batch;
    collate(*e.task, Split::train, examples.data(), static_cast<Index>(examples.size()), nullptr, batch);
    const Tensor log_p = log_softmax(e.model->forward(batch)).value();
    const Index classes = log_p.dim(1);
    for (std::size_t i = 0; i < examples.size(); i++) {
      Opinion& one = at(all, examples[i]);
      const double weight = at(weights, examples[i]);
      one.log_p.resize(static_cast<std::size_t>(classes));
      for (Index c = 0; c < classes; c++)
        at(one.log_p, c) += weight * log_p.at(static_cast<Index>(i) * classes + c);
      one.weight += weight;
      one.label = batch.at("label").data<std::int32_t>()[i];
    }
  });
}

std::vector<Suspect> suspects_of(const std::vector<Opinion>& all) {
  std::vector<Suspect> result;
  for (std::size_t i = 0; i < all.size(); i++) {
    const Opinion& one = all[i];
    const auto likely = std::max_element(one.log_p.begin(), one.log_p.end()) - one.log_p.begin();
    if (likely == one.label) continue;
    double sum = 0;
    for (const double x : one.log_p) sum += std::exp((x - at(one.log_p, one.label)) / one.weight);
    result.push_back({static_cast<std::int64_t>(i), one.label, static_cast<int>(likely), 1 / sum});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const Suspect& a, const Suspect& b) { return a.probability < b.probability; });
  return result;
}

}  // namespace

std::vector<Suspect> suspects(const std::string& config, std::vector<std::string> sets, int trainings) {
  const std::int64_t seed = Section::load(config, sets).section("run").read<RunConfig>().seed;
  const Stream keys(static_cast<std::uint64_t>(seed), "parts");
  const int parts = trainings - trainings / 3;
  std::vector<Opinion> opinions;
  std::vector<Suspect> result;
  sets.emplace_back();
  for (int k = 0; k < trainings; k++) {
    sets.back() = fmt::format("train.seed={}", seed + k);
    Experiment e = build_experiment(Section::load(config, sets));
    if (e.task->classes().size() < 2)
      fail(Fault::usage, "blame: --labels must be for a task with classes; got one without");
    Training t = prepare_training(e);
    const Index n = e.task->examples(Split::train);
    opinions.resize(static_cast<std::size_t>(n));
    std::vector<double> weights(opinions.size(), 1.0);
    std::vector<std::int64_t> without = t.tables.fork.without;
    const auto leave_out = [&](std::int64_t example) {
      without.push_back(example);
      at(weights, example) = std::max(1, parts - 1);  // as much as those who have it
    };
    if (k >= parts)
      for (const Suspect& one : result) leave_out(one.example);
    else if (parts > 1)
      for (Index i = k; i < n; i += parts) leave_out(permuted(i, n, keys));
    t.batches->leave_out(without);
    warm_start(t);
    for (int look = 3; look <= 8; look++) {
      while (t.state.step < t.max_steps() * look / 20) step_again(t);
      add_opinions(t, weights, opinions);
    }
    result = suspects_of(opinions);
  }
  return result;
}

}  // namespace qkv
