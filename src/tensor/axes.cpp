#include "qkv/tensor/axes.h"

namespace qkv {

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

}  // namespace qkv
