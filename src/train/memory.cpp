#include "qkv/train/training.h"

#include <algorithm>
#include <cmath>

#include "qkv/base/threads.h"
#include "tensor/symbolic_bytes.h"
#include "train/train_step.h"

namespace qkv {
namespace {

struct Walk {
  double all, largest;  // bytes of all tensors, and of the largest one
};

// What a forward pass over the longest examples makes.
Walk walk(const Experiment& e, Index examples) {
  const Batch batch = e.task->Task::symbolic_batch(examples);
  const SymbolicBytes bytes;
  try {
    e.task->loss(*e.model, batch);
  } catch (const Error&) {  // code that computes with elements: counted up to there
  }
  return {bytes.count(), bytes.largest()};
}

// Examples of a training batch, if all are as long as the longest.
Index batch_examples(Task& task, const BatchConfig& config) {
  if (!config.by_tokens()) return std::min(config.batch_size, task.examples(Split::train));
  Index longest = 1;
  for (const auto& [name, tensor] : task.Task::symbolic_batch(1)) longest = std::max(longest, tensor.size());
  return std::max<Index>(1, config.batch_size / longest);
}

// An evaluation keeps nothing: about a block's input and two results of its inner width at a time.
double evaluation_bytes(const Experiment& e, Index batch_size, double threads) {
  constexpr Index kFinalBatch = 128;
  const Index n = e.task->examples(Split::val);
  if (n == 0) return 0;
  const Index examples = std::min(n, std::max(kFinalBatch, batch_size));
  const double batches = std::ceil(static_cast<double>(n) / static_cast<double>(examples));
  return (2.5 * walk(e, examples).largest + e.task->scoring_bytes(*e.model)) * std::min(threads, batches);
}

}  // namespace

std::size_t memory_estimate(const Training& t) {
  const Experiment& e = t.experiment;
  const double threads = static_cast<double>(e.run.threads > 0 ? e.run.threads : available_threads());
  const double parameters =
      static_cast<double>(e.parameters->count()) * static_cast<double>(size_of(e.parameters->dtype()));
  double bytes = 2 * parameters;  // once more in a checkpoint that is read
  bytes += static_cast<double>(t.optimizer->bytes());
  bytes += t.one_step->bytes(walk(e, batch_examples(*e.task, t.tables.batches)).all, threads);
  bytes += evaluation_bytes(e, t.tables.batches.eval_batch_size, threads);
  return static_cast<std::size_t>(bytes);
}

}  // namespace qkv
