// Answers are made from finite numbers only: what a model gives is looked at before it is used.
#pragma once
#include "qkv/data/batch.h"
#include "qkv/model/model.h"

namespace qkv {

/// The largest of the logits [V] of a next token. A data error if no token follows from them: NaN or infinity
/// among them, or all -infinity.
float likeliest_logit(const float* logits, Index V);

/// What the model gives for a batch. A data error that names the first op and layer that gave another value,
/// if NaN or infinity is in it.
Tensor finite_forward(const Model& model, const Batch& batch);

}  // namespace qkv
