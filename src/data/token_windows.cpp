#include "data/token_windows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace qkv {

TokenWindows::TokenWindows(std::vector<TokenCorpus> texts, Index length, const std::vector<double>& weights)
    : length_(length), texts_(std::move(texts)) {
  constexpr double kRound = 1000;
  const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::pair<double, std::size_t>> turns;  // when in a round, in equal distances, and whose
  for (std::size_t k = 0; k < texts_.size(); k++) {
    const Index targets = texts_[k].size() - 1;
    counts_.push_back(
        {weights.empty() ? (targets + length - 1) / length : std::max<Index>(1, targets / length)});
    examples_ += counts_[k].windows;
    if (weights.empty()) continue;
    const auto n = int(std::max(1L, std::lround(kRound * weights[k] / all)));
    for (int i = 0; i < n; i++) turns.emplace_back((i + 0.5) / n, k);
  }
  std::sort(turns.begin(), turns.end());
  for (const auto& [when, k] : turns) round_.push_back({k, counts_[k].turns++});
  if (round_.empty()) return;
  const auto size = Index(round_.size());
  for (Count& count : counts_) count.draws = examples_ / size * count.turns;
  for (Index i = 0; i < examples_ % size; i++) counts_[round_[std::size_t(i)].text].draws++;
}

TokenWindows::Place TokenWindows::at(Index example, Stream* random) const {
  std::size_t k = 0;
  if (round_.empty()) {
    for (; example >= counts_[k].windows; k++) example -= counts_[k].windows;
    return {texts_[k], example * length_};
  }
  const auto size = Index(round_.size());
  const Turn& turn = round_[std::size_t(example % size)];
  const Count& count = counts_[turn.text];
  const TokenCorpus& corpus = texts_[turn.text];
  const Index part = example / size * count.turns + turn.number, targets = corpus.size() - 1;
  const bool once = count.draws == count.windows;  // parts are windows
  Index begin =
      once ? part * length_ : targets / count.draws * part + targets % count.draws * part / count.draws;
  if (random) {
    const Index range = once ? length_ : std::max(length_, targets / count.draws);
    begin -= range > length_ ? 0 : range / 2;
    begin += Index(random->below(std::uint64_t(range)));
    begin = std::clamp<Index>(begin, 0, targets - length_);
  }
  return {corpus, begin};
}

Index TokenWindows::tokens() const {
  Index sum = 0;
  for (const TokenCorpus& text : texts_) sum += text.size();
  return sum;
}

double TokenWindows::unknown_share() const {
  Index sum = 0;
  for (const TokenCorpus& text : texts_) sum += text.unknown();
  return double(sum) / double(tokens());
}

double TokenWindows::characters_per_token() const {
  double characters = 0, tokens = 0;
  for (std::size_t k = 0; k < texts_.size(); k++) {
    const double share = round_.empty() || texts_.size() == 1 ? 1 : passes(k);
    characters += share * double(texts_[k].characters());
    tokens += share * double(texts_[k].size());
  }
  return characters / tokens;
}

void TokenWindows::for_sequences(Index most, std::int32_t end,
                                 const std::function<void(const std::vector<std::int32_t>&)>& take) const {
  constexpr Index kPart = 1 << 14;
  const Index all = tokens(), step = (all + most - 1) / most, part = step == 1 ? all : kPart;
  std::vector<std::int32_t> ids;
  for (const TokenCorpus& text : texts_)
    for (Index begin = 0; begin < text.size(); begin += step * part) {
      ids.resize(std::size_t(std::min(part, text.size() - begin)));
      text.read(begin, Index(ids.size()), ids.data());
      for (auto from = ids.begin(), to = from; from != ids.end(); from = to) {
        to = end < 0 ? ids.end() : std::find(from, ids.end(), end);
        if (to != ids.end()) ++to;
        take({from, to});
      }
    }
}

bool TokenWindows::hold(std::int32_t id) const {
  std::vector<std::int32_t> ids(4096);
  for (const TokenCorpus& text : texts_)
    for (Index begin = 0; begin < text.size(); begin += 4096) {
      const auto n = std::min<Index>(4096, text.size() - begin);
      text.read(begin, n, ids.data());
      if (std::find(ids.begin(), ids.begin() + n, id) != ids.begin() + n) return true;
    }
  return false;
}

}  // namespace qkv
