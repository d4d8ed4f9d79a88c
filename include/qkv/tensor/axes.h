// Axes: which axes an op works on.
#pragma once
#include <initializer_list>

#include "qkv/tensor/shape.h"

namespace qkv {

/// An ordered list of axes, inline: `1`, `{0, -1}`, or `{}` for all of them. Negative axes count from the
/// end.
class Axes {
 public:
  Axes() = default;
  Axes(int axis) : Axes(&axis, 1) {}  // NOLINT: implicit, so that sum(x, -1) works
  Axes(bool) = delete;                // sum(x, true) is a slip for sum(x, {}, true)
  Axes(std::initializer_list<int> axes) : Axes(axes.begin(), static_cast<int>(axes.size())) {}
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

}  // namespace qkv
