#include "qkv/tensor/shape.h"

#include <algorithm>

namespace qkv {

Shape::Shape(const Index* extents, int rank) : rank_(rank) {
  QKV_CHECK(rank <= kMaxRank, "shape: rank must be at most {}; got {}", int{kMaxRank}, rank);
  for (int i = 0; i < rank; i++) put(i, extents[i]);
}

void Shape::put(int axis, Index extent) {
  QKV_CHECK(extent >= 0, "shape: extents must not be negative; got {} at axis {}", extent, axis);
  extents_[axis] = extent;
}

void Shape::set(int axis, Index extent) {
  put(check_axis(axis), extent);
}

void Shape::push_back(Index extent) {
  QKV_CHECK(rank_ < kMaxRank, "shape: rank must be at most {}; got {}", int{kMaxRank}, rank_ + 1);
  put(rank_, extent);
  rank_++;
}

Index Shape::size_of(int begin, int end) const {
  Index product = 1;
  for (int i = begin; i < end; i++) {
    bool overflow = __builtin_mul_overflow(product, extents_[i], &product) || product > (Index{1} << 60);
    QKV_CHECK(!overflow, "shape: number of elements must be at most 2^60; got {}", str());
  }
  return product;
}

int Shape::check_axis(int axis) const {
  int result = axis < 0 ? axis + rank_ : axis;
  QKV_CHECK(result >= 0 && result < rank_, "shape: axis must be in [{}, {}); got {} for shape {}", -rank_,
            rank_, axis, str());
  return result;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

std::string Shape::str() const {
  std::string text = "[";
  for (int i = 0; i < rank_; i++) text += (i ? ", " : "") + std::to_string(extents_[i]);
  return text + "]";
}

Axes::Axes(const int* axes, int count) : count_(count) {
  QKV_CHECK(count <= Shape::kMaxRank, "axes: at most {} must be given; got {}", int{Shape::kMaxRank}, count);
  std::copy_n(axes, count, axes_);
}

unsigned Axes::mask(const char* op, const Shape& shape) const {
  const int rank = shape.rank();
  if (all()) return (1u << rank) - 1;
  unsigned bits = 0;
  for (int i = 0; i < count_; i++) {
    const int axis = axes_[i] < 0 ? axes_[i] + rank : axes_[i];
    QKV_CHECK(axis >= 0 && axis < rank, "{}: axis must be in [{}, {}); got {} for shape {}", op, -rank, rank,
              axes_[i], shape);
    QKV_CHECK(!(bits >> axis & 1u), "{}: axes must differ; got axis {} twice for shape {}", op, axis, shape);
    bits |= 1u << axis;
  }
  return bits;
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  if (a == b) return a;
  int rank = std::max(a.rank(), b.rank());
  Index extents[Shape::kMaxRank];
  for (int i = 0; i < rank; i++) {
    int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    Index ea = ia < 0 ? 1 : a[ia], eb = ib < 0 ? 1 : b[ib];
    QKV_CHECK(ea == eb || ea == 1 || eb == 1, "{}: shapes must broadcast; got a {} and b {}", op, a, b);
    extents[i] = ea == 1 ? eb : ea;
  }
  return Shape(extents, rank);
}

}  // namespace qkv
