#include "qkv/train/training.h"

#include <algorithm>
#include <cmath>

#include "qkv/base/threads.h"
#include "tensor/pool.h"
#include "train/train_step.h"

namespace qkv {
namespace {

struct Walk {
  double kept, reused;  // bytes if all tensors are kept, and if they are freed after use
};

// The memory of a forward pass over the longest examples.
Walk walk(const Experiment& e, Index examples) {
  constexpr std::size_t kLive = 3;  // e.g. the input, the norm and the result of a layer
  const Batch batch = e.task->Task::symbolic_batch(examples);
  const SymbolicBytes bytes;
  try {
    e.task->loss(*e.model, batch);
  } catch (const Error&) {  // code that computes with elements: counted up to there
  }
  return {bytes.kept(), bytes.reused(kLive)};
}

// Examples of a training batch, if all are as long as the longest.
Index batch_examples(Task& task, const BatchConfig& config) {
  if (!config.by_tokens()) return std::min(config.batch_size, task.examples(Split::train));
  Index longest = 1;
  for (const auto& [name, tensor] : task.Task::symbolic_batch(1)) longest = std::max(longest, tensor.size());
  return std::max<Index>(1, config.batch_size / longest);
}

// An evaluation frees what it computes. Its tensors are larger than those of training, so the pool holds
// both.
double evaluation_bytes(const Experiment& e, Index batch_size, double threads) {
  constexpr Index kFinalBatch = 128;
  const Index n = e.task->examples(Split::val);
  if (n == 0) return 0;
  const Index examples = std::min(n, std::max(kFinalBatch, batch_size));
  const double batches = std::ceil(static_cast<double>(n) / static_cast<double>(examples));
  return (walk(e, examples).reused + e.task->scoring_bytes(*e.model)) * std::min(threads, batches);
}

}  // namespace

std::size_t memory_estimate(const Training& t) {
  const Experiment& e = t.experiment;
  const double threads = static_cast<double>(e.run.threads > 0 ? e.run.threads : available_threads());
  const double parameters =
      static_cast<double>(e.parameters->count()) * static_cast<double>(size_of(e.parameters->dtype()));
  double bytes = 2 * parameters;  // once more in a checkpoint that is read
  bytes += static_cast<double>(t.optimizer->bytes());
  bytes += t.one_step->bytes(walk(e, batch_examples(*e.task, t.tables.batches)).kept, threads);
  bytes += evaluation_bytes(e, t.tables.batches.eval_batch_size, threads);
  return static_cast<std::size_t>(bytes);
}

}  // namespace qkv
