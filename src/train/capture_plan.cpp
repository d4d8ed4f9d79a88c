// At which steps a run looks inside its model, and at which of them it scores heads, on how many texts.
#include <algorithm>

#include "train/captures.h"

namespace qkv {

constexpr Index kMostTexts = 256, kTexts = 64, kLeastTexts = 32;
constexpr std::size_t kLeastSteps = 4;

std::unique_ptr<Circuits> Captures::make_circuits() const {
  if (!wants("circuits") || steps_.empty()) return nullptr;
  return std::make_unique<Circuits>(experiment_, config_.circuit_share, steps_, steps_.back());
}

// Powers of two as long as they lie closer together than equal distances would, then equal distances: what is
// learned first is learned fast.
void Captures::choose_steps(std::int64_t max_steps) {
  steps_ = {0};
  std::int64_t distance = config_.every;
  if (distance == 0) {
    std::int64_t doublings = 0;
    do {
      const std::int64_t rest = std::max<std::int64_t>(1, config_.frames - 1 - doublings);
      distance = (max_steps + rest - 1) / rest;
    } while ((std::int64_t{1} << doublings) < distance && ++doublings < config_.frames - 2);
    for (std::int64_t i = 0; i < doublings && (std::int64_t{1} << i) < distance; i++)
      steps_.push_back(std::int64_t{1} << i);
  }
  for (std::int64_t step = distance; step < max_steps; step += distance) steps_.push_back(step);
  steps_.push_back(max_steps);
}

Split circuit_split(Task& task) {
  return task.examples(Split::val) >= 2 * kLeastTexts ? Split::val : Split::test;
}

CircuitPlan plan_circuits(const Experiment& e, Index heads, bool paths, double share,
                          const std::vector<std::int64_t>& captures, std::int64_t max_steps) {
  const Index available = e.task->examples(circuit_split(*e.task)) / 2;
  if (heads == 0 || available < kLeastTexts) return {};
  const BatchConfig& batch = e.tables.batches;
  const Index examples = e.task->examples(Split::train);
  double per_step = static_cast<double>(batch.batch_size);
  if (batch.by_tokens()) per_step /= std::max(1.0, static_cast<double>(e.task->length(Split::train, 0)));
  per_step = std::min(per_step, static_cast<double>(examples)) *
             static_cast<double>(e.tables.train.grad_accum_steps);
  const double training = 3 * static_cast<double>(max_steps) * per_step;  // backwards is twice as much again
  CircuitPlan plan;
  plan.cuts = (heads + 1) / 2, plan.paths = paths ? (heads + 3) / 4 : 0;
  const auto passes = static_cast<double>(2 + heads + plan.cuts + 2 * plan.paths);  // of a text, per step
  std::size_t steps = 0;
  for (const Index texts : {kTexts, kLeastTexts}) {
    if (steps >= kLeastSteps) break;
    const double most = share * training / (passes * static_cast<double>(std::min(texts, available)));
    steps = static_cast<std::size_t>(std::min(most, static_cast<double>(captures.size())));
  }
  if (steps < kLeastSteps) return {};
  const double each = share * training / (passes * static_cast<double>(steps));
  plan.texts =
      static_cast<Index>(std::min(each, static_cast<double>(std::min(kMostTexts, available)))) / 8 * 8;
  plan.passes = passes * static_cast<double>(plan.texts) * static_cast<double>(steps);
  plan.share = plan.passes / training;
  for (std::size_t i = 0; i < steps; i++)
    plan.steps.push_back(captures[i * (captures.size() - 1) / (steps - 1)]);
  return plan;
}

}  // namespace qkv
