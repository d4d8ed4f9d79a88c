#include "inspect/heads.h"

#include "inspect/look.h"

namespace qkv {
namespace {

// Row t of a text: what a head takes from each word.
void add_row(HeadScores& head, const ProbeText& text, std::size_t t, const std::vector<double>& row) {
  const std::vector<std::string>& words = text.words;
  head.scores[HeadScores::self].add(row[t]);
  head.scores[HeadScores::first].add(row[0]);
  if (t > 0) head.scores[HeadScores::previous].add(row[t - 1]);
  double equal = 0, behind = 0;
  bool seen = false;
  for (std::size_t s = 0; s < t; s++) {
    if (words[s] != words[t]) continue;
    seen = true;
    equal += row[s];
    if (s + 1 < t) behind += row[s + 1];
  }
  if (seen) head.scores[HeadScores::duplicate].add(equal), head.scores[HeadScores::induction].add(behind);
  if (static_cast<int>(t) == text.target && text.cue >= 0)
    head.scores[HeadScores::cue].add(row[static_cast<std::size_t>(text.cue)]);
  for (std::size_t s = 0; s < words.size(); s++)
    head.at_distance[static_cast<Index>(s) - static_cast<Index>(t)].add(row[s]);
}

}  // namespace

std::pair<Index, double> HeadScores::position() const {
  std::pair<Index, double> best{0, 0};
  for (const auto& [distance, mean] : at_distance)
    if (mean.count * 10 >= scores[self].count && *mean.value() > best.second)
      best = {distance, *mean.value()};
  return best;
}

std::vector<HeadScores> head_scores(const Experiment& e, const std::vector<ProbeText>& texts) {
  std::vector<HeadScores> found;
  for (const ProbeText& text : texts) {
    std::size_t at = 0;
    for (const AttentionLook& layer : look_at(e, text).layers)
      for (Index h = 0; h < layer.n_head; h++, at++) {
        if (at == found.size()) found.push_back({layer.layer, h, {}, {}});
        for (Index t = 0; t < layer.T; t++)
          add_row(found[at], text, static_cast<std::size_t>(t), layer.row(layer.weights, h, t));
      }
  }
  check_attention(e, !found.empty(), "inspect heads");
  return found;
}

}  // namespace qkv
