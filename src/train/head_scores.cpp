#include "train/head_scores.h"

#include "base/at.h"
#include "qkv/base/text.h"

namespace qkv {

constexpr double kMatch = 0.2;  // less than dated_circuits wants of a name: it follows a head from there

void HeadScores::add(const ReadTokens& text, Index t, const double* row) {
  const auto T = static_cast<Index>(text.ids.size());
  scores[self].add(row[t]);
  scores[first].add(row[0]);
  if (t > 0) scores[previous].add(row[t - 1]);
  double equal = 0, behind = 0;
  bool seen = false;
  for (Index s = 0; s < t; s++) {
    if (at(text.ids, s) != at(text.ids, t)) continue;
    seen = true;
    equal += row[s];
    if (s + 1 < t) behind += row[s + 1];
  }
  if (seen) scores[duplicate].add(equal), scores[induction].add(behind);
  if (t == text.target && text.cue >= 0) scores[cue].add(row[text.cue]);
  make_room(T);
  const Index longest = (static_cast<Index>(at_distance.size()) + 1) / 2;
  for (Index s = 0; s < T; s++) at(at_distance, s - t + longest - 1).add(row[s]);
}

void HeadScores::make_room(Index longest) {
  const auto now = static_cast<Index>(at_distance.size() + 1) / 2;
  if (longest <= now) return;
  std::vector<Mean> wider(static_cast<std::size_t>(2 * longest - 1));
  for (Index i = 0; i < 2 * now - 1; i++) at(wider, i + longest - now) = at(at_distance, i);
  at_distance = std::move(wider);
}

void HeadScores::merge(const HeadScores& other) {
  for (std::size_t i = 0; i < scores.size(); i++) scores[i].merge(other.scores[i]);
  const auto theirs = static_cast<Index>(other.at_distance.size() + 1) / 2;
  make_room(theirs);
  const Index shift = static_cast<Index>(at_distance.size() + 1) / 2 - theirs;
  for (Index i = 0; i < 2 * theirs - 1; i++) at(at_distance, i + shift).merge(at(other.at_distance, i));
}

std::pair<Index, double> HeadScores::position() const {
  std::pair<Index, double> best{0, 0};
  const Index longest = static_cast<Index>(at_distance.size() + 1) / 2;
  for (Index i = 0; i < static_cast<Index>(at_distance.size()); i++) {
    const Mean& mean = at(at_distance, i);
    if (mean.count > 0 && mean.count * 10 >= scores[self].count && *mean.value() > best.second)
      best = {i - longest + 1, *mean.value()};
  }
  return best;
}

ReadTokens tokens_of(const Batch& batch, const std::string& layer, Index b, Index T) {
  const bool source = starts_with(layer, "encoder.") && batch.contains("source_ids");
  const Tensor *ids = batch.find(source ? "source_ids" : "ids"),
               *keep = batch.find(source ? "source_keep" : "keep");
  ReadTokens read;
  if (!ids || ids->rank() != 2 || ids->dim(1) != T) return read;
  for (Index t = b * T; t < (b + 1) * T; t++)
    if (!keep || keep->data<std::int32_t>()[t]) read.ids.push_back(ids->data<std::int32_t>()[t]);
  if (const Tensor* target = batch.find("target")) read.target = target->data<std::int32_t>()[b];
  if (const Tensor* cue = batch.find("cue")) read.cue = cue->data<std::int32_t>()[b];
  return read;
}

bool answers_at(const Batch& batch, const ReadTokens& text, Index b, Index T, Index t) {
  const Tensor* targets = batch.find("targets");
  if (targets && targets->rank() == 2 && targets->dim(1) == T)
    return targets->data<std::int32_t>()[b * T + t] >= 0;
  return t == text.target;
}

HeadRole role_of(const HeadScores& all, const HeadScores& asked) {
  HeadRole best;
  const auto offer = [&](const std::string& role, double match) {
    if (match > best.match) best = {role, match};
  };
  for (auto [score, role] : {std::pair{HeadScores::cue, "cue reader"},
                             {HeadScores::induction, "induction"},
                             {HeadScores::duplicate, "duplicate token"},
                             {HeadScores::previous, "previous token"}})
    for (const HeadScores* one : {&all, &asked}) offer(role, one->scores[score].value().value_or(0));
  for (const HeadScores* one : {&all, &asked})
    if (const auto [distance, weight] = one->position(); distance != 0 && distance != -1)
      offer(fmt::format("position {:+}", distance), weight);
  for (const HeadScores* one : {&all, &asked}) {
    offer("first token", one->scores[HeadScores::first].value().value_or(0));
    offer("self", one->scores[HeadScores::self].value().value_or(0));
  }
  return best.match >= kMatch ? best : HeadRole();
}

}  // namespace qkv
