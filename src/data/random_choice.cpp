#include "data/random_choice.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/at.h"
#include "qkv/base/error.h"

namespace qkv {
namespace {

// The examples of each label in random order; the order of one label does not depend on the others.
std::map<int, std::vector<int>> shuffled_by_label(const std::vector<int>& labels, const char* purpose,
                                                  std::uint64_t seed) {
  std::map<int, std::vector<int>> groups;
  for (std::size_t i = 0; i < labels.size(); ++i) groups[labels[i]].push_back(int(i));
  for (auto& [label, examples] : groups) shuffle(examples, Stream(seed, purpose, label));
  return groups;
}

}  // namespace

std::vector<int> stratified_folds(const std::vector<int>& labels, int k, std::uint64_t seed) {
  if (k < 2 || std::size_t(k) > labels.size())
    fail(Fault::usage, "folds: number of folds must be in [2, {}], the number of examples; got {}",
         labels.size(), k);
  std::vector<int> folds(labels.size());
  int next = 0;
  for (const auto& [label, examples] : shuffled_by_label(labels, "folds", seed))
    for (int example : examples) {
      folds[std::size_t(example)] = next;
      next = (next + 1) % k;
    }
  return folds;
}

TrainVal fold_split(const std::vector<int>& folds, int fold) {
  TrainVal split;
  for (std::size_t i = 0; i < folds.size(); ++i)
    (folds[i] == fold ? split.val : split.train).push_back(int(i));
  QKV_CHECK(!split.val.empty(), "folds: fold must be one of those dealt; got {}", fold);
  return split;
}

TrainVal stratified_split(const std::vector<int>& labels, double val_fraction, std::uint64_t seed) {
  if (!(val_fraction > 0 && val_fraction < 1))
    fail(Fault::usage, "split: val_fraction must be in (0, 1); got {}", val_fraction);
  TrainVal split;
  for (const auto& [label, examples] : shuffled_by_label(labels, "split", seed)) {
    const auto count = std::ptrdiff_t(examples.size());
    auto n_val = std::ptrdiff_t(std::llround(double(count) * val_fraction));
    n_val = count == 1 ? 0 : std::clamp<std::ptrdiff_t>(n_val, 1, count - 1);
    split.val.insert(split.val.end(), examples.begin(), examples.begin() + n_val);
    split.train.insert(split.train.end(), examples.begin() + n_val, examples.end());
  }
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.val.begin(), split.val.end());
  return split;
}

// A permutation of 2^(2 half) numbers in four Feistel rounds; results that are not below n are put in again
// ("cycle walking"), which makes it a permutation of the numbers below n.
Index permuted(Index position, Index n, const Stream& keys) {
  int half = 1;
  while ((Index{1} << (2 * half)) < n) half++;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  auto x = std::uint64_t(position);
  do {
    std::uint64_t left = x >> half, right = x & mask;
    for (std::uint64_t round = 0; round < 4; round++) {
      const std::uint64_t mixed = keys.part(round).part(right).bits64() & mask;
      const std::uint64_t next = left ^ mixed;
      left = right, right = next;
    }
    x = left << half | right;
  } while (x >= std::uint64_t(n));
  return Index(x);
}

AliasTable::AliasTable(const std::vector<double>& weights) {
  double total = 0;
  for (double w : weights) {
    QKV_CHECK(w >= 0 && std::isfinite(w), "alias table: weights must be finite and not negative; got {}", w);
    total += w;
  }
  QKV_CHECK(total > 0 && std::isfinite(total), "alias table: the sum of the weights must be positive; got {}",
            total);
  const auto n = double(weights.size());
  std::vector<double> rest;  // of each value, in cells
  std::vector<int> poor, rich;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    rest.push_back(weights[i] / total * n);
    (rest.back() < 1 ? poor : rich).push_back(int(i));
  }
  constexpr double kWhole = 4294967296.0;
  cells_.resize(weights.size());
  auto fill = [&](int i, double share, int other) {
    at(cells_, i) = {std::uint64_t(share * kWhole), i, other};
  };
  while (!poor.empty() && !rich.empty()) {
    const int small = poor.back(), large = rich.back();
    poor.pop_back();
    fill(small, at(rest, small), large);
    at(rest, large) -= 1 - at(rest, small);
    if (at(rest, large) >= 1) continue;
    rich.pop_back();
    poor.push_back(large);
  }
  for (int i : rich) fill(i, 1, i);
  for (int i : poor) fill(i, 1, i);  // 1 but for rounding
}

}  // namespace qkv
