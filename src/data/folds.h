// Stratified folds and splits as pure functions of (labels, k, seed).
#pragma once
#include <cstdint>
#include <vector>

namespace qkv {

/// The fold (0 ... k-1) of each example. The examples of each label are shuffled and dealt out in turn, and
/// the next label goes on where the last one stopped: fold sizes, and the counts of each label in them,
/// differ by at most one.
std::vector<int> stratified_folds(const std::vector<int>& labels, int k, std::uint64_t seed);

/// Example indices in ascending order.
struct TrainVal {
  std::vector<int> train, val;
};

/// Fold `fold` of stratified_folds is `val`, the rest `train`.
TrainVal fold_split(const std::vector<int>& folds, int fold);

/// Moves about `val_fraction` of each label to `val`: round(count * val_fraction), but at least one example
/// of each label with two or more stays on either side. 0 < val_fraction < 1.
TrainVal stratified_split(const std::vector<int>& labels, double val_fraction, std::uint64_t seed);

}  // namespace qkv
