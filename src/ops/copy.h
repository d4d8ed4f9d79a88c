// A shape seen from one of its axes, and parts picked along it.
#pragma once
#include <vector>

#include "qkv/autograd/tape.h"

namespace qkv {

/// Tensors of one width below each other: `concat` along the first axis. One tensor is itself.
Tensor joined(const std::vector<Tensor>& parts);

namespace copying {

/// A shape seen from one of its axes: [outer, n, inner].
struct AxisView {
  int axis;
  Index outer, n, inner;
  AxisView(int axis, Index outer, Index n, Index inner) : axis(axis), outer(outer), n(n), inner(inner) {}
  AxisView(const char* op, const Shape& shape, int given) {
    Axes(given).mask(op, shape);
    axis = shape.check_axis(given);
    outer = shape.size_of(0, axis), n = shape[axis], inner = shape.size_of(axis + 1, shape.rank());
  }
};

/// y [outer, ids, inner]: for each id the part x[:, id, :] of [outer, n, inner], in a tensor of shape
/// `shape`. Gradients of parts that are taken several times add up. The ids are checked before.
Var gather(const Op& op, const Var& x, const AxisView& view, const Tensor& ids, const Shape& shape);

}  // namespace copying
}  // namespace qkv
