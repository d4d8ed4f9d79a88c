#include "train/train_step.h"

#include <algorithm>

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
  return part;
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
