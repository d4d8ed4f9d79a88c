// Evaluation of a model on a split.
#pragma once
#include <functional>

#include "qkv/task/task.h"

namespace qkv {

/// Scores all examples of a split, or with `examples` > 0 that many, spread evenly; batch by batch over the
/// process's workers. Batches are merged in order, so that the result does not depend on the number of
/// threads. `samples` > 0: what is costly is scored on that many examples of the split only, spread evenly
/// ("sampled" in the batches). A data error when the split is empty. `stop` is called before each batch, by
/// any thread: once it returns true, the remaining batches are skipped.
Metrics evaluate(Task& task, const Model& model, Split split, std::int64_t batch_size,
                 std::int64_t samples = 0, std::int64_t examples = 0, const std::function<bool()>& stop = {});

}  // namespace qkv
