#include "train/train_step.h"

#include <algorithm>

#include "base/at.h"
#include "qkv/ops/loss.h"

namespace qkv {

const std::vector<int>& TrainBatches::examples(std::int64_t batch) {
  sampler_.batch(batch, examples_);
  return examples_;
}

TrainBatches::Part TrainBatches::collate(const std::vector<int>& examples, std::int64_t batch, int shard,
                                         Batch& out) const {
  const auto n = static_cast<Index>(examples.size());
  const Index begin = n * shard / shards_, end = n * (shard + 1) / shards_;
  const Part part{examples.data() + begin, end - begin};
  if (part.size == 0) return part;
  const Stream noise(seed_, "noise", batch, shard);
  qkv::collate(task_, Split::train, part.begin, part.size, &noise, out);
  if (!without_.empty()) mute(part, out);
  return part;
}

void TrainBatches::leave_out(const std::vector<std::int64_t>& numbers) {
  without_ = {numbers.begin(), numbers.end()};
}

namespace {

// The name of targets in a batch, and the example that each is of.
struct TargetRows {
  const char* name;
  std::vector<Index> rows;
};

// What a batch asks is its "label" [B] or its "targets": [B, ..], or with "masked" those of places in "ids".
std::vector<TargetRows> targets_of(const Batch& batch, Index size) {
  const Tensor* masked = batch.find("masked");
  std::vector<TargetRows> result;
  for (const char* name : {"label", "targets"}) {
    const Tensor* found = batch.find(name);
    if (!found || found->dtype() != Dtype::i32 || found->rank() == 0) continue;
    if (!masked && found->dim(0) != size) continue;
    const Index width = masked ? batch.at("ids").dim(1) : found->size() / size;
    result.push_back({name, {}});
    for (Index i = 0; i < found->size(); i++)
      result.back().rows.push_back((masked ? masked->data<std::int32_t>()[i] : i) / width);
  }
  if (result.empty())
    fail(
        Fault::usage,
        "train: the task must put what each example asks in \"label\" or \"targets\" of its batches, so that "
        "examples can be told apart; got {}",
        batch.str());
  return result;
}

}  // namespace

void TrainBatches::mute(const Part& part, Batch& batch) const {
  for (const TargetRows& one : targets_of(batch, part.size)) {
    Tensor targets = batch.at(one.name).clone();  // the task may hold its own
    std::int32_t* target = targets.data<std::int32_t>();
    for (std::size_t i = 0; i < one.rows.size(); i++)
      if (target[i] >= 0 && without_.count(part.begin[one.rows[i]])) target[i] = muted(target[i]);
    batch.set(one.name, std::move(targets));
  }
}

std::vector<double> TrainBatches::by_example(const Batch& batch, Index size,
                                             const std::vector<double>& losses) {
  const std::vector<Index> rows = targets_of(batch, size).front().rows;
  std::vector<double> result(static_cast<std::size_t>(size), 0.0);
  if (rows.empty()) return result;
  if (losses.empty() || losses.size() % rows.size() != 0)  // with several votes, those of each
    fail(Fault::usage,
         "train: the loss of the task must be the cross entropy of its targets, so that examples can be told "
         "apart; got {} losses of {} targets",
         losses.size(), rows.size());
  for (std::size_t i = 0; i < losses.size(); i++) at(result, rows[i % rows.size()]) += losses[i];
  return result;
}

// A power of two, at most 4, and the more the more tokens each shard has: products stay efficient, and adding
// the gradients of all shards stays cheap beside them.
static int choose_shards(Index examples, double mean_tokens) {
  constexpr double kTokens = 96;
  int shards = 1;
  while (shards < 4 && 2 * shards <= examples &&
         static_cast<double>(examples) * mean_tokens >= 4 * shards * shards * kTokens)
    shards *= 2;
  return shards;
}

std::unique_ptr<TrainBatches> make_batches(Task& task, const BatchConfig& config, const RunConfig& run,
                                           bool few) {
  constexpr Index kFew = 1000;
  for (Split split : {Split::val, Split::test}) task.examples(split);
  const Index n = task.examples(Split::train);
  if (n == 0) fail(Fault::data, "data.train: must hold examples; got none");
  Index measured = n;
  if (!config.by_tokens() && task.uniform_length()) measured = 1;
  if (!config.by_tokens() && few) measured = std::min(measured, kFew);
  SamplerOptions options;
  options.block = config.shuffle_block;
  double tokens = 0;
  for (Index i = 0; i < measured; i++) {
    const Index length = task.length(Split::train, static_cast<int>(i));
    tokens += static_cast<double>(length);
    if ((config.buckets || config.by_tokens()) && measured == n)
      options.lengths.push_back(static_cast<int>(length));
  }
  const double mean = std::max(1.0, tokens / static_cast<double>(measured));
  Index examples = config.batch_size;  // of a batch
  if (config.by_tokens()) {
    options.batch_tokens = config.batch_size;
    examples = std::max<Index>(1, static_cast<Index>(static_cast<double>(examples) / mean));
  }
  const auto seed = static_cast<std::uint64_t>(run.seed);
  const int shards =
      run.shards > 0 ? static_cast<int>(run.shards) : choose_shards(std::min(examples, n), mean);
  return std::make_unique<TrainBatches>(task, Sampler(n, config.batch_size, seed, std::move(options)), seed,
                                        shards);
}

}  // namespace qkv
