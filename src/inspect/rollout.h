// Attention rollout (Abnar and Zuidema 2020): how much of each word has reached each position after each
// layer, if attention mixes what words hold and the residual keeps half of it.
#pragma once
#include "inspect/asked.h"

namespace qkv {

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
