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

// Adds to `sums` [examples, classes] the log-probabilities of the classes, and notes the labels.
void add_log_probabilities(const Training& t, std::vector<std::vector<double>>& sums,
                           std::vector<int>& labels) {
  const Experiment& e = t.experiment;
  const Index n = static_cast<Index>(sums.size()), size = t.tables.batches.eval_batch_size;
  pool().run(static_cast<int>((n + size - 1) / size), [&](int b, int) {
    std::vector<int> examples;
    for (Index i = b * size; i < std::min(n, (b + 1) * size); i++) examples.push_back(static_cast<int>(i));
    Batch batch;
    collate(*e.task, Split::train, examples.data(), static_cast<Index>(examples.size()), nullptr, batch);
    const Tensor log_p = log_softmax(e.model->forward(batch)).value();
    const std::int32_t* label = batch.at("label").data<std::int32_t>();
    for (std::size_t i = 0; i < examples.size(); i++) {
      std::vector<double>& sum = at(sums, examples[i]);
      for (std::size_t c = 0; c < sum.size(); c++) sum[c] += log_p.at(static_cast<Index>(i * sum.size() + c));
      at(labels, examples[i]) = label[i];
    }
  });
}

}  // namespace

std::vector<Suspect> suspects(Training& t, int looks) {
  Task& task = *t.experiment.task;
  const std::size_t classes = task.classes().size();
  if (classes < 2) fail(Fault::usage, "blame: --labels must be for a task with classes; got one without");
  const auto n = static_cast<std::size_t>(task.examples(Split::train));
  std::vector<std::vector<double>> sums(n, std::vector<double>(classes, 0.0));
  std::vector<int> labels(n);
  warm_start(t);
  for (int look = 1; look <= looks; look++) {
    while (t.state.step < 2 * t.max_steps() * look / (5 * looks)) {
      if (!t.step().finite && !t.skips()) fail(Fault::diverged, "blame: the steps must be finite; got a NaN");
      if (signal_received()) fail(Fault::runtime, "blame: stopped by signal {}", signal_received());
    }
    add_log_probabilities(t, sums, labels);
  }
  std::vector<Suspect> result;
  for (std::size_t i = 0; i < n; i++) {
    const auto likely = static_cast<int>(std::max_element(sums[i].begin(), sums[i].end()) - sums[i].begin());
    if (likely != labels[i])
      result.push_back(
          {static_cast<std::int64_t>(i), labels[i], likely, std::exp(at(sums[i], labels[i]) / looks)});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const Suspect& a, const Suspect& b) { return a.probability < b.probability; });
  return result;
}

}  // namespace qkv
