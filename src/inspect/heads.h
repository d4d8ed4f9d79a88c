// What each head does: attends to the previous word, to equal words, after equal words, at a distance, at the
// cue.
#pragma once
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

/// A mean that may have nothing to be the mean of.
struct Mean {
  double sum = 0, count = 0;
  void add(double x) { sum += x, count++; }
  std::optional<double> value() const {
    return count > 0 ? std::optional<double>(sum / count) : std::nullopt;
  }
};

/// Mean weights of one head over the rows of all texts.
struct HeadScores {
  enum Score { previous, self, first, duplicate, induction, cue, kCount };
  static constexpr const char* kNames[] = {"previous", "self", "first", "duplicate", "induction", "cue"};

  std::string layer;
  Index head = 0;
  std::array<Mean, kCount> scores;
  std::map<Index, Mean> at_distance;

  /// The distance at which it looks most, and how much, among those that at least a tenth of the rows have.
  std::pair<Index, double> position() const;
};

/// Of every head of a model. A usage error where it has no self-attention.
std::vector<HeadScores> head_scores(const Experiment& e, const std::vector<ProbeText>& texts);

}  // namespace qkv
