// Broadcast: elementwise work on operands of different shapes, as rows over xsimd batches. Heavy header:
// include it in .cpp files only.
#pragma once
#include "tensor/rows.h"

namespace qkv {

/// The walk over N operands that broadcast to one shape, as NumPy does. Neighbouring axes that every operand
/// either has or repeats are merged: equal shapes become one row, a bias [D] rows of D, a column [R, 1] rows
/// that repeat one of its elements.
template <int N>
class Broadcast {
 public:
  /// Throws `op: shapes must broadcast; got a [..] and b [..]`.
  template <class... Shapes>
  explicit Broadcast(const char* op, const Shapes&... shapes) {
    static_assert(sizeof...(Shapes) == N);
    const Shape* operands[std::size_t(N)] = {&shapes...};
    shape_ = *operands[0];
    for (int i = 1; i < N; i++) shape_ = broadcast(op, shape_, *operands[i]);
    size_ = shape_.size();
    Index own[std::size_t(N)];  // product of the extents of an operand after the axis
    for (int i = 0; i < N; i++) own[i] = 1, repeats_[i] = operands[i]->size() != size_;
    for (int axis = shape_.rank() - 1, back = 1; axis >= 0; axis--, back++) {
      const Index extent = shape_[axis];
      if (extent == 1) continue;
      Index stride[std::size_t(N)];
      bool merge = groups_ > 0;
      for (int i = 0; i < N; i++) {
        const bool repeated = back > operands[i]->rank() || (*operands[i])[-back] == 1;
        stride[i] = repeated ? 0 : own[i];
        if (!repeated) own[i] *= extent;
        merge = merge && stride[i] == stride_[groups_ - 1][i] * extent_[groups_ - 1];
      }
      if (merge) {
        extent_[groups_ - 1] *= extent;
        continue;
      }
      extent_[groups_] = extent;
      std::copy_n(stride, N, stride_[groups_++]);
    }
    if (groups_ > 0) return;
    extent_[groups_++] = 1;  // one element
    std::fill_n(stride_[0], N, 1);
  }

  const Shape& shape() const { return shape_; }
  /// Does operand `i` have fewer elements than the result?
  bool repeats(int i) const { return repeats_[i]; }
  /// Elements per row.
  Index width() const { return extent_[0]; }
  /// Distance between the elements of operand `i` within a row: 1, or 0 where one element is repeated.
  Index step(int i) const { return stride_[0][i]; }

  /// Calls `f(y, at)` for every row: it begins at element `y` of the result and `at[i]` of operand i.
  template <class F>
  void rows(F f) const {
    Index count[Shape::kMaxRank + 1] = {}, at[std::size_t(N)] = {};
    for (Index y = 0; y < size_; y += extent_[0]) {
      f(y, at);
      for (int g = 1; g < groups_; g++) {
        for (int i = 0; i < N; i++) at[i] += stride_[g][i];
        if (++count[g] < extent_[g]) break;
        for (int i = 0; i < N; i++) at[i] -= stride_[g][i] * extent_[g];
        count[g] = 0;
      }
    }
  }

 private:
  Shape shape_;
  Index size_ = 0;
  int groups_ = 0;  // of merged axes, from the innermost
  Index extent_[Shape::kMaxRank + 1] = {}, stride_[Shape::kMaxRank + 1][std::size_t(N)] = {};
  bool repeats_[std::size_t(N)] = {};
};

namespace simd {

/// A row of elements one after the other (step 1) or of one element repeated (step 0).
template <class T>
class Row {
 public:
  Row(const T* first, Index step) : first_(step ? first : lanes_), step_(step) {
    if (!step) Batch<T>(*first).store_aligned(lanes_);
  }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;
  Batch<T> at(Index i) const { return xsimd::load_unaligned(first_ + i * step_); }
  T operator[](Index i) const { return first_[i * step_]; }

 private:
  alignas(64) T lanes_[kWidth<T>];
  const T* first_;
  Index step_;
};

}  // namespace simd
}  // namespace qkv
