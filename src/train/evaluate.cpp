#include "qkv/train/evaluate.h"

#include <algorithm>
#include <numeric>

#include "qkv/base/threads.h"

namespace qkv {

namespace {

// Marks `samples` of n examples: those where i * samples / n is a new number.
void mark_sampled(const int* examples, Index size, Index n, std::int64_t samples, Batch& batch) {
  std::int32_t* sampled = batch.fill("sampled", {size}, Dtype::i32).data<std::int32_t>();
  for (Index b = 0; b < size; b++) sampled[b] = (examples[b] + 1) * samples / n > examples[b] * samples / n;
}

}  // namespace

Metrics evaluate(Task& task, const Model& model, Split split, std::int64_t batch_size, std::int64_t samples) {
  const Index n = task.examples(split);
  if (n == 0) fail(Fault::data, "eval: the {} split must not be empty; got no examples", name_of(split));
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return task.length(split, a) < task.length(split, b); });
  const Index batches = (n + batch_size - 1) / batch_size;
  std::vector<Metrics> parts(static_cast<std::size_t>(batches));
  pool().run(static_cast<int>(batches), [&](int i, int) {
    const Index begin = i * batch_size, size = std::min(batch_size, n - begin);
    Batch batch;
    task.collate(split, order.data() + begin, size, nullptr, batch);
    if (samples > 0 && samples < n) mark_sampled(order.data() + begin, size, n, samples, batch);
    task.score(model, batch, parts[static_cast<std::size_t>(i)]);
  });
  Metrics result;
  for (const Metrics& part : parts) result.merge(part);
  return result;
}

}  // namespace qkv
