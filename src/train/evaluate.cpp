#include "qkv/train/experiment.h"

#include <algorithm>

#include "base/communicator.h"
#include "base/pack.h"
#include "qkv/base/threads.h"

namespace qkv {

// Marks `samples` of the n examples from which `examples` are: those where i * samples / n is a new number.
static void mark_sampled(const int* examples, Index size, Index n, std::int64_t samples, Batch& batch) {
  std::int32_t* sampled = batch.fill("sampled", {size}, Dtype::i32).data<std::int32_t>();
  for (Index b = 0; b < size; b++) sampled[b] = (examples[b] + 1) * samples / n > examples[b] * samples / n;
}

// `some` of the numbers 0 .. n - 1, spread evenly; 0 = all.
static std::vector<int> spread(Index n, Index some) {
  std::vector<int> result(static_cast<std::size_t>(some > 0 ? std::min(some, n) : n));
  const Index size = static_cast<Index>(result.size());
  for (Index i = 0; i < size; i++) result[static_cast<std::size_t>(i)] = static_cast<int>(i * n / size);
  return result;
}

// Rank r has scored the batches r, r + ranks, ...; each rank gets the others' parts. The batches whose
// metrics cannot be sent (see Metrics::know) are returned.
static std::vector<Index> share_parts(std::vector<Metrics>& parts) {
  Communicator& ranks = communicator();
  std::vector<Index> left;
  if (ranks.alone()) return left;
  const auto n = static_cast<std::size_t>(ranks.size()), own = static_cast<std::size_t>(ranks.rank());
  Metrics known;
  Pack packed;
  for (std::size_t i = own; i < parts.size(); i += n) known.merge(parts[i]), packed(parts[i]);
  const std::vector<std::string> all = ranks.all(packed.bytes);
  for (std::size_t r = 0; r < n; r++) {
    Pack of_rank(all[r]);
    for (std::size_t i = r; r != own && i < parts.size(); i += n) {
      of_rank(parts[i]);
      if (parts[i].know(known)) continue;
      parts[i] = Metrics();
      left.push_back(static_cast<Index>(i));
    }
  }
  return left;
}

Metrics evaluate(Task& task, const Model& model, Split split, std::int64_t batch_size, std::int64_t samples,
                 std::int64_t examples, const std::function<bool()>& stop) {
  const Index n = task.examples(split);
  if (n == 0) fail(Fault::data, "eval: the {} split must not be empty; got no examples", name_of(split));
  std::vector<int> order = spread(n, examples);
  const Index scored = static_cast<Index>(order.size());
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return task.length(split, a) < task.length(split, b); });
  const Index batches = (scored + batch_size - 1) / batch_size;
  std::vector<Metrics> parts(static_cast<std::size_t>(batches));
  const auto score = [&](Index i) {
    if (stop && stop()) return;
    const Index begin = i * batch_size, size = std::min(batch_size, scored - begin);
    Batch batch;
    collate(task, split, order.data() + begin, size, nullptr, batch);
    if (samples > 0 && samples < n) mark_sampled(order.data() + begin, size, n, samples, batch);
    task.score(model, batch, parts[static_cast<std::size_t>(i)]);
  };
  const Index ranks = communicator().size(), rank = communicator().rank();
  pool().run(static_cast<int>((batches - rank + ranks - 1) / ranks),
             [&](int i, int) { score(rank + i * ranks); });
  const std::vector<Index> left = share_parts(parts);
  pool().run(static_cast<int>(left.size()), [&](int i, int) { score(left[static_cast<std::size_t>(i)]); });
  Metrics result;
  for (const Metrics& part : parts) result.merge(part);
  return result;
}

}  // namespace qkv
