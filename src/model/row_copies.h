// RowCopies: the rows of a table that one shard has met, as copies that it changes.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "qkv/tensor/shape.h"

namespace qkv {

/// Memory stays from step to step; it grows with the rows that a step meets, not with the table.
template <class T>
class RowCopies {
 public:
  void attach(const T* table, Index rows, Index width) {
    table_ = table, width_ = width;
    if (places_.size() != std::size_t(rows)) places_.assign(std::size_t(rows), -1);
  }
  /// The copy of row `id`, made on first use. It keeps its address until `clear`.
  T* row(Index id) {
    std::int32_t& place = places_[std::size_t(id)];
    if (place < 0) {
      place = std::int32_t(ids_.size());
      ids_.push_back(std::int32_t(id));
      if (ids_.size() > blocks_.size() * kRows)
        blocks_.push_back(std::make_unique<T[]>(kRows * std::size_t(width_)));
      const T* from = table_ + id * width_;
      T* to = at(place);
      for (Index i = 0; i < width_; i++) to[i] = from[i];
    }
    return at(place);
  }
  /// The copy, or null.
  const T* find(Index id) {
    const std::int32_t place = places_[std::size_t(id)];
    return place < 0 ? nullptr : at(place);
  }
  /// Rows met, in the order in which they were.
  const std::vector<std::int32_t>& ids() const { return ids_; }
  void clear() {
    for (std::int32_t id : ids_) places_[std::size_t(id)] = -1;
    ids_.clear();
  }

 private:
  static constexpr std::size_t kRows = 1024;  // of a block
  T* at(std::int32_t place) {
    const auto p = std::size_t(place);
    return blocks_[p / kRows].get() + p % kRows * std::size_t(width_);
  }

  const T* table_ = nullptr;
  Index width_ = 0;
  std::vector<std::int32_t> places_, ids_;
  std::vector<std::unique_ptr<T[]>> blocks_;
};

}  // namespace qkv
