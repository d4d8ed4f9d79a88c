// Activation patching (Meng et al. 2022) and path patching (Wang et al. 2023, Goldowsky-Dill et al. 2023)
// between two texts: the model reads one text, parts of it are replaced by what they were in the other, and
// the answer moves from the one to the other as far as those parts carry the difference.
#pragma once
#include "inspect/asked.h"

namespace qkv {

/// Positions of two texts that stand for each other, {in the text, in the other}. Texts of one length: each
/// its own; else the words that they have in common at the beginning and at the end, and none between.
using Alignment = std::vector<std::pair<Index, Index>>;
Alignment aligned(const std::vector<std::string>& text, const std::vector<std::string>& other);

/// What a patch restores: 0 where the answer stays that of the text, 1 where it becomes that of the other.
struct PatchEffects {
  Asked text, other;                           ///< asked is the other's answer against the text's
  double before = 0, after = 0;                ///< the score of the text, and of the other
  Alignment words, source;                     ///< of the text, and of its source
  std::vector<std::string> points;             ///< of the residual stream, and outputs of sub-layers
  std::vector<std::vector<double>> at_points;  ///< [point][aligned position]
  struct Head {
    std::string layer;
    Index head;
    double all = 0;          ///< all aligned positions at once
    std::vector<double> at;  ///< each of them
  };
  std::vector<Head> heads;

  const Alignment& positions(const std::string& activation) const {
    return of_source(activation) ? source : words;
  }
};
/// The model reads `text` with parts of `other`. Usage errors where both have one answer and `options` names
/// none, where no words are aligned, and where the model has no layers.
PatchEffects patch(const Experiment& e, const std::string& text, const std::string& other,
                   const AskOptions& options, const AskOptions& other_options);

/// A path from one head to another, or to the logits: the sender's output is that of the other text, the
/// outputs of all other heads stay; so much of the answer moves through what the receiver reads.
struct PathEffect {
  std::string sender, receiver;  ///< attention layers; no receiver: the logits
  Index sender_head = 0, receiver_head = -1;
  std::string by;  ///< "queries", "keys" or "values"
  double effect = 0;
};
/// Of every pair of heads in layers one after the other. Feed-forward layers are part of the paths.
std::vector<PathEffect> path_effects(const Experiment& e, const PatchEffects& patched);

}  // namespace qkv
