// AttentionLoss: trains attention to go where somebody has drawn arrows.
#pragma once
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

/// A text, and where the attention of some of its words ought to go.
struct DrawnText {
  struct Arrow {
    Index from, to;
    double share;  ///< of the attention of `from`; those of one word sum up to 1
  };
  ProbeText text;
  std::vector<Arrow> arrows;
  Index rows = 0;  ///< words from which arrows start
};

/// A JSON object per line: {"text": "A [bank] of fog hid the river.", "arrows": [["bank", "fog"]]}. An arrow
/// is [from, to] or [from, to, weight]; its ends are words, or positions from 0. The weights of the arrows
/// from one word are divided by their sum. What does not fit the text is a data error.
std::vector<DrawnText> read_drawn(const Task& task, const std::string& file);

/// How much of the attention of a head follows the arrows: a mean over the words from which they start.
struct FollowedArrows {
  std::string layer;  ///< "layers.0.attn"
  Index head;
  double share;
};
/// Of every head of self-attention, or none.
std::vector<FollowedArrows> followed_arrows(const Experiment& e, const std::vector<DrawnText>& texts);

/// The mean Kullback-Leibler divergence KL(drawn || attention) over the rows of the drawn texts, in the
/// chosen heads.
class AttentionLoss {
 public:
  /// Reads the drawn texts, and has the model read them to see which heads it has.
  AttentionLoss(const Experiment& e, const AttentionLossConfig& config);

  /// The loss of shard `s` of `shards` with weight x count x divergence added to that of the task, so that
  /// the mean of a step is loss + weight x divergence. Each shard reads every `shards`-th text. `divergence`:
  /// what the shard adds to count x divergence.
  Var add_to(const Loss& loss, int s, int shards, double& divergence) const;

 private:
  const Experiment& experiment_;
  AttentionLossConfig config_;
  std::vector<DrawnText> texts_;
  double rows_ = 0;  // of all texts and chosen heads
};

}  // namespace qkv
