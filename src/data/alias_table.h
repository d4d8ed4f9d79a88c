// AliasTable: draws from a discrete distribution in constant time.
#pragma once
#include <cstdint>
#include <vector>

namespace qkv {

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
