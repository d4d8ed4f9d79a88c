#include "data/folds.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "qkv/base/error.h"
#include "qkv/base/random.h"

namespace qkv {
namespace {

// The examples of each label in random order; the order of one label does not depend on the others.
std::map<int, std::vector<int>> shuffled_by_label(const std::vector<int>& labels, const char* purpose,
                                                  std::uint64_t seed) {
  std::map<int, std::vector<int>> groups;
  for (std::size_t i = 0; i < labels.size(); ++i) groups[labels[i]].push_back(static_cast<int>(i));
  for (auto& [label, examples] : groups) shuffle(examples, Stream(seed, purpose, label));
  return groups;
}

}  // namespace

std::vector<int> stratified_folds(const std::vector<int>& labels, int k, std::uint64_t seed) {
  if (k < 2 || static_cast<std::size_t>(k) > labels.size())
    fail(Fault::usage, "folds: number of folds must be in [2, {}], the number of examples; got {}",
         labels.size(), k);
  std::vector<int> folds(labels.size());
  int next = 0;
  for (const auto& [label, examples] : shuffled_by_label(labels, "folds", seed))
    for (int example : examples) {
      folds[static_cast<std::size_t>(example)] = next;
      next = (next + 1) % k;
    }
  return folds;
}

TrainVal fold_split(const std::vector<int>& folds, int fold) {
  TrainVal split;
  for (std::size_t i = 0; i < folds.size(); ++i)
    (folds[i] == fold ? split.val : split.train).push_back(static_cast<int>(i));
  QKV_CHECK(!split.val.empty(), "folds: fold must be one of those dealt; got {}", fold);
  return split;
}

TrainVal stratified_split(const std::vector<int>& labels, double val_fraction, std::uint64_t seed) {
  if (!(val_fraction > 0 && val_fraction < 1))
    fail(Fault::usage, "split: val_fraction must be in (0, 1); got {}", val_fraction);
  TrainVal split;
  for (const auto& [label, examples] : shuffled_by_label(labels, "split", seed)) {
    const auto count = static_cast<std::ptrdiff_t>(examples.size());
    auto n_val = static_cast<std::ptrdiff_t>(std::llround(static_cast<double>(count) * val_fraction));
    n_val = count == 1 ? 0 : std::clamp<std::ptrdiff_t>(n_val, 1, count - 1);
    split.val.insert(split.val.end(), examples.begin(), examples.begin() + n_val);
    split.train.insert(split.train.end(), examples.begin() + n_val, examples.end());
  }
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.val.begin(), split.val.end());
  return split;
}

}  // namespace qkv
