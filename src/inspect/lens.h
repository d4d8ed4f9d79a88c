// The logit lens: what a model would answer if its residual stream went from a point straight to what follows
// the last layer, i.e. its own final norm, readout and head (nostalgebraist 2020).
#pragma once
#include "inspect/asked.h"

namespace qkv {

struct LensPoint {
  std::string name;  ///< "layers.0.attn.residual"
  Tensor logits;     ///< [T or 1, C] (f64)
};

/// Of every point of the residual stream that leads to the answer, first to last; the last gives the model's
/// own logits. A usage error where the model has no layers.
std::vector<LensPoint> lens(const Experiment& e, const Asked& asked);

/// softmax of row `row` of logits [.., C].
std::vector<double> probabilities(const Tensor& logits, Index row);

}  // namespace qkv
