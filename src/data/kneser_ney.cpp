#include "data/kneser_ney.h"

#include <algorithm>
#include <cmath>

namespace qkv {

static constexpr std::uint32_t kUnseen = UINT32_MAX;

static std::uint64_t key_of(std::uint32_t last, std::int32_t first) {
  return (std::uint64_t{last} << 32) | std::uint32_t(first);
}

void KneserNey::add(const std::vector<std::int32_t>& ids, std::size_t first) {
  std::array<std::uint32_t, kOrder> now{},
      before{};  // the numbers of the n-grams that end here, and one before
  for (std::size_t t = 0; t < ids.size(); t++, before = now) {
    if (t >= first) tokens_++;
    for (std::size_t k = 0; k < orders_.size() && k <= t; k++) {
      Order& order = orders_[k];
      now[k] = std::uint32_t(ids[t]);
      if (k > 0) {
        const auto next = std::uint32_t(order.grams.size());
        const auto [number, fresh] = order.numbers.try_emplace(key_of(now[k - 1], ids[t - k]), next);
        if (fresh) order.grams.emplace_back();
        now[k] = number->second;
      }
      if (t < first) continue;
      Gram& gram = order.grams[now[k]];
      if (gram.count[0]++ > 0 || k == 0) continue;
      gram.history = before[k - 1];
      orders_[k - 1].grams[now[k - 1]].count[1]++;
    }
  }
}

void KneserNey::finish() {
  for (std::size_t k = 0; k < orders_.size(); k++)
    for (std::size_t kind : {0u, 1u}) finish(k, kind);
}

void KneserNey::finish(std::size_t order, std::size_t kind) {
  Counts& counts = orders_[order].kinds[kind];
  counts.follow.assign(order == 0 ? 1 : orders_[order - 1].grams.size(), Follow());
  std::array<double, 5> having{};  // how many n-grams have each count
  for (const Gram& gram : orders_[order].grams) {
    const std::uint32_t c = gram.count[kind];
    if (c == 0) continue;
    counts.follow[gram.history].sum += c;
    counts.follow[gram.history].types[std::min(c, 3u) - 1]++;
    if (c < having.size()) having[c]++;
  }
  const double y = having[1] / (having[1] + 2 * having[2]);
  for (std::size_t c = 1; c <= 3; c++) {
    const auto own = double(c), d = own - (own + 1) * y * having[c + 1] / having[c];
    if (d > 0 && d <= own) counts.discount[c] = d;
  }
}

double KneserNey::p(std::size_t order, std::size_t kind, std::uint32_t gram, std::uint32_t history,
                    double lower) const {
  const Counts& counts = orders_[order].kinds[kind];
  if (history == kUnseen || counts.follow[history].sum == 0) return lower;
  const Follow& f = counts.follow[history];
  const std::uint32_t c = gram == kUnseen ? 0 : orders_[order].grams[gram].count[kind];
  double taken = 0;
  for (std::size_t i = 0; i < 3; i++) taken += counts.discount[i + 1] * f.types[i];
  return (c - counts.discount[std::min(c, 3u)] + taken * lower) / f.sum;
}

KneserNey::Nats KneserNey::score(const std::vector<std::int32_t>& ids, std::size_t t) const {
  const auto find = [&](std::size_t order, std::uint32_t last, std::int32_t first) {
    const auto found = orders_[order].numbers.find(key_of(last, first));
    return last == kUnseen || found == orders_[order].numbers.end() ? kUnseen : found->second;
  };
  Nats nats{};
  double lower = 1 / double(vocab_size_);
  auto gram = std::uint32_t(ids[t]), history = 0u;
  for (std::size_t k = 0; k < orders_.size(); k++) {
    if (k > 0 && k <= t) {
      history = k == 1 ? std::uint32_t(ids[t - 1]) : find(k - 1, history, ids[t - k]);
      gram = find(k, gram, ids[t - k]);
    }
    nats[k] = -std::log(k <= t ? p(k, 0, gram, history, lower) : lower);
    if (k <= t) lower = p(k, 1, gram, history, lower);
  }
  return nats;
}

}  // namespace qkv
