#include "train/batches.h"

#include <algorithm>

#include "qkv/train/experiment.h"

namespace qkv {

Lengths measure_data(Task& task, const TrainingTables& tables, bool few) {
  constexpr Index kFew = 1000;
  for (Split split : {Split::val, Split::test}) task.examples(split);
  Lengths lengths;
  lengths.examples = task.examples(Split::train);
  if (lengths.examples == 0) fail(Fault::data, "data.train: must hold examples; got none");
  Index measured = lengths.examples;
  if (!tables.by_tokens && task.uniform_length()) measured = 1;
  if (!tables.by_tokens && few) measured = std::min(measured, kFew);
  double total = 0;
  for (Index i = 0; i < measured; i++) {
    const Index length = task.length(Split::train, static_cast<int>(i));
    total += static_cast<double>(length);
    if ((tables.buckets || tables.by_tokens) && measured == lengths.examples)
      lengths.each.push_back(static_cast<int>(length));
  }
  lengths.mean = std::max(1.0, total / static_cast<double>(measured));
  return lengths;
}

Sampler make_sampler(const TrainingTables& tables, Lengths lengths, std::uint64_t seed) {
  SamplerOptions options;
  options.lengths = std::move(lengths.each);
  if (tables.by_tokens) options.batch_tokens = tables.batch_size;
  return Sampler(lengths.examples, tables.batch_size, seed, std::move(options));
}

int shards_of(std::int64_t configured, const TrainingTables& tables, Index examples, double mean_length) {
  Index size = tables.batch_size;
  if (tables.by_tokens)
    size = std::max<Index>(1, static_cast<Index>(static_cast<double>(size) / mean_length));
  return choose_shards(configured, std::min(size, examples), mean_length);
}

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

}  // namespace qkv
