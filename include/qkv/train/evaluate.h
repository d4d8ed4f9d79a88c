// Evaluation of a model on a split.
#pragma once
#include "qkv/task/task.h"

namespace qkv {

/// Scores all examples of a split, batch by batch over the process's workers. Batches are merged in order, so
/// that the result does not depend on the number of threads. A data error when the split is empty.
Metrics evaluate(Task& task, const Model& model, Split split, std::int64_t batch_size);

}  // namespace qkv
