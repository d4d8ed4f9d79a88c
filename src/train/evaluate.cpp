#include "qkv/train/evaluate.h"

#include <algorithm>
#include <numeric>

#include "qkv/base/threads.h"

namespace qkv {

Metrics evaluate(Task& task, const Model& model, Split split, std::int64_t batch_size) {
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
    task.score(model, batch, parts[static_cast<std::size_t>(i)]);
  });
  Metrics result;
  for (const Metrics& part : parts) result.merge(part);
  return result;
}

}  // namespace qkv
