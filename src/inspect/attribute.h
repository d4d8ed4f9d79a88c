// What an answer is made of: the part of its logit that each head and sub-layer writes (direct logit
// attribution), and the part that each word is worth (integrated gradients, Sundararajan et al. 2017).
#pragma once
#include "inspect/asked.h"

namespace qkv {

/// A part of the logit: what `name` adds to the residual stream, through the final norm, with the factor that
/// this norm has for the text, and through what follows.
struct LogitPart {
  std::string name;  ///< "layers.0.attn"; "input": what the first layer reads
  Index head = -1;   ///< one head's; -1 of an attention layer: its bias
  double value = 0;
};
struct DirectAttribution {
  std::vector<LogitPart> parts;
  double constant = 0;  ///< biases of the final norm and of the head
  double sum() const;   ///< of all; the logit, up to rounding
};
/// Usage errors where the logit is no sum of such parts: no layers, norms after the sub-layers, scaled
/// residuals, a head that is not linear.
DirectAttribution direct_attribution(const Experiment& e, const Asked& asked);

/// The integral of gradient times input on the way from word vectors of 0 to those of the text.
struct IntegratedGradients {
  std::vector<double> words, source;  ///< of each word, and of each word of the source
  double whole = 0, baseline = 0;     ///< the logit, and that of word vectors of 0
  Index steps = 0;
  double sum() const;
  /// |sum - (whole - baseline)| / |whole - baseline|: 0 if the sum is complete.
  double error() const;
};
/// `steps` is doubled, up to 16 times as many, until the error is below 1 %. Usage error where the model
/// shows no word vectors.
IntegratedGradients integrated_gradients(const Experiment& e, const Asked& asked, Index steps);

}  // namespace qkv
