// Shape: the extents of a tensor, inline (no heap); Axes; and the broadcasting rule.
#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "qkv/base/error.h"

namespace qkv {

/// Signed size type of all extents and element counts.
using Index = std::int64_t;

/// Up to kMaxRank extents, row-major. An empty shape is a scalar (one element).
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<Index> extents) : Shape(extents.begin(), int(extents.size())) {}
  Shape(const Index* extents, int rank);

  int rank() const { return rank_; }
  /// Extent of `axis`; negative axes count from the end. Throws when out of range.
  Index operator[](int axis) const { return extents_[check_axis(axis)]; }
  /// Throw for a negative extent, and above kMaxRank.
  void set(int axis, Index extent);
  void push_back(Index extent);
  /// Number of elements; throws above 2^60, so that bytes can be counted too.
  Index size() const { return size_of(0, rank_); }
  /// Product of the extents of axes [begin, end).
  Index size_of(int begin, int end) const;
  /// Non-negative axis; throws `axis must be in [-r, r)`.
  int check_axis(int axis) const;
  const Index* begin() const { return extents_; }
  const Index* end() const { return extents_ + rank_; }

  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }
  /// "[2, 3]"
  std::string str() const;

 private:
  void put(int axis, Index extent);

  Index extents_[kMaxRank] = {};
  int rank_ = 0;
};

/// An ordered list of axes, inline: `1`, `{0, -1}`, or `{}` for all of them. Negative axes count from the
/// end.
class Axes {
 public:
  Axes() = default;
  Axes(int axis) : Axes(&axis, 1) {}  // NOLINT: implicit, so that sum(x, -1) works
  Axes(bool) = delete;                // sum(x, true) is a slip for sum(x, {}, true)
  Axes(std::initializer_list<int> axes) : Axes(axes.begin(), int(axes.size())) {}
  Axes(const int* axes, int count);

  /// True for `{}`.
  bool all() const { return count_ == 0; }
  int count() const { return count_; }
  int operator[](int i) const { return axes_[i]; }
  /// The axes of `shape` as bits. Throws `op: axis must be in [-r, r); got ..` and `op: axes must differ; got
  /// ..`.
  unsigned mask(const char* op, const Shape& shape) const;

 private:
  int axes_[Shape::kMaxRank] = {};
  int count_ = 0;
};

/// NumPy broadcasting of two shapes. Throws `op: shapes must broadcast; got a [..] and b [..]`.
Shape broadcast(const char* op, const Shape& a, const Shape& b);

}  // namespace qkv

template <>
struct fmt::formatter<qkv::Shape> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const qkv::Shape& shape, Context& context) const {
    const std::string text = shape.str();
    return std::copy(text.begin(), text.end(), context.out());
  }
};
