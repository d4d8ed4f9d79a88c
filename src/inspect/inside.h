// What a model holds between its layers: the logit lens and attention rollout.
#pragma once
#include "inspect/asked.h"

namespace qkv {

// ---- the logit lens: what a model would answer if its residual stream went from a point straight to what
// follows the last layer, i.e. its own final norm, readout and head (nostalgebraist 2020)

struct LensPoint {
  std::string name;  ///< "layers.0.attn.residual"
  Tensor logits;     ///< [T or 1, C] (f64)
};

/// Of every point of the residual stream that leads to the answer, first to last; the last gives the model's
/// own logits. A usage error where the model has no layers.
std::vector<LensPoint> lens(const Experiment& e, const Asked& asked);

/// softmax of row `row` of logits [.., C].
std::vector<double> probabilities(const Tensor& logits, Index row);

// ---- attention rollout (Abnar and Zuidema 2020): how much of each word has reached each position after each
// layer, if attention mixes what words hold and the residual keeps half of it

/// After one layer of attention: rows are positions of the text (in the encoder, of the source), columns the
/// words that they hold: of the source, if there is one, then of the text.
struct RolloutLayer {
  std::string layer;  ///< "layers.0.attn"
  Tensor held;        ///< [T or S, S + T] (f64); rows add up to 1
};

/// R <- (A + I) / 2 R with A the mean of the heads' weights; in cross-attention A reads what the encoder's
/// last layer gave. Where a layer has no residual, R <- A R. A usage error where there is no attention.
std::vector<RolloutLayer> rollout(const Experiment& e, const ProbeText& text);

}  // namespace qkv
