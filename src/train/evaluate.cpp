#include "qkv/train/experiment.h"

#include <algorithm>

#include "qkv/base/threads.h"

namespace qkv {

namespace {

// Marks `samples` of the n examples from which `examples` are: those where i * samples / n is a new number.
void mark_sampled(const int* examples, Index size, Index n, std::int64_t samples, Batch& batch) {
  std::int32_t* sampled = batch.fill("sampled", {size}, Dtype::i32).data<std::int32_t>();
  for (Index b = 0; b < size; b++) sampled[b] = (examples[b] + 1) * samples / n > examples[b] * samples / n;
}

// `some` of the numbers 0 .. n - 1, spread evenly; 0 = all.
std::vector<int> spread(Index n, Index some) {
  std::vector<int> result(static_cast<std::size_t>(some > 0 ? std::min(some, n) : n));
  const Index size = static_cast<Index>(result.size());
  for (Index i = 0; i < size; i++) result[static_cast<std::size_t>(i)] = static_cast<int>(i * n / size);
  return result;
}

}  // namespace

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
  pool().run(static_cast<int>(batches), [&](int i, int) {
    if (stop && stop()) return;
    const Index begin = i * batch_size, size = std::min(batch_size, scored - begin);
    Batch batch;
    collate(task, split, order.data() + begin, size, nullptr, batch);
    if (samples > 0 && samples < n) mark_sampled(order.data() + begin, size, n, samples, batch);
    task.score(model, batch, parts[static_cast<std::size_t>(i)]);
  });
  Metrics result;
  for (const Metrics& part : parts) result.merge(part);
  return result;
}

}  // namespace qkv
