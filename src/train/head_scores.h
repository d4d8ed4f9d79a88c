// HeadScores: what a head attends to, as mean weights: the previous token, equal ones, those after them.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "qkv/data/batch.h"

namespace qkv {

/// A mean that may have nothing to be the mean of.
struct Mean {
  double sum = 0, count = 0;
  void add(double x) { sum += x, count++; }
  void merge(const Mean& other) { sum += other.sum, count += other.count; }
  std::optional<double> value() const {
    return count > 0 ? std::optional<double>(sum / count) : std::nullopt;
  }
};

/// What a head reads: tokens, the position that the answer is about and that of the word that decides, or -1.
struct ReadTokens {
  std::vector<std::int32_t> ids;
  Index target = -1, cue = -1;
};

/// Mean weights of one head over rows of texts.
struct HeadScores {
  enum Score { previous, self, first, duplicate, induction, cue, kCount };
  static constexpr const char* kNames[] = {"previous", "self", "first", "duplicate", "induction", "cue"};

  std::string layer = {};
  Index head = 0;
  std::array<Mean, kCount> scores = {};
  /// At distance d, d + T - 1 being the index, T the longest text so far.
  std::vector<Mean> at_distance = {};

  /// Row t of a text: the weight of each token.
  void add(const ReadTokens& text, Index t, const double* row);
  void merge(const HeadScores& other);
  /// The distance at which it looks most, and how much, among those that at least a tenth of the rows have.
  std::pair<Index, double> position() const;

 private:
  void make_room(Index longest);
};

/// The tokens that text `b` of a batch shows to the self-attention of a layer over T positions, with "target"
/// and "cue" [B] (i32) of the batch; none where they are not known.
ReadTokens tokens_of(const Batch& batch, const std::string& layer, Index b, Index T);
/// Whether the model answers at row t of it.
bool answers_at(const Batch& batch, const ReadTokens& text, Index b, Index T, Index t);

struct HeadRole {
  std::string name;  ///< empty: none
  double match = 0;  ///< the share of the head's attention that fits it
};
/// The role that most of its attention fits, over all rows or over those with answers; at least 0.2 of it.
HeadRole role_of(const HeadScores& all, const HeadScores& asked);

}  // namespace qkv
