// Choices at random: stratified folds and splits, orders that take no memory, draws from a distribution.
#pragma once
#include <cstdint>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/tensor/shape.h"

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

/// Element `position` of a random order of 0 ... n-1 that `keys` stands for (its position does not matter): a
/// Feistel network over the numbers below n (Black and Rogaway 2002). 0 <= position < n <= 2^62.
Index permuted(Index position, Index n, const Stream& keys);

/// Vose, "A linear algorithm for generating random numbers with a given distribution" (1991): each of n equal
/// cells belongs to one value below a threshold and to another above.
class AliasTable {
 public:
  AliasTable() = default;
  /// `weights` need not add up to 1; none may be negative or not finite, and one must be positive. Value i
  /// comes with weights[i] / their sum, up to steps of 2^-32.
  explicit AliasTable(const std::vector<double>& weights);
  int size() const { return static_cast<int>(cells_.size()); }
  /// The value for 32 uniform bits that choose the cell and 32 that choose within it.
  int draw(std::uint32_t cell_bits, std::uint32_t bits) const {
    const Cell& cell =
        cells_[static_cast<std::size_t>(static_cast<std::uint64_t>(cell_bits) * cells_.size() >> 32)];
    return bits < cell.below ? cell.value : cell.other;
  }

 private:
  struct Cell {
    std::uint64_t below;  ///< threshold in [0, 2^32]
    int value, other;
  };
  std::vector<Cell> cells_;
};

}  // namespace qkv
