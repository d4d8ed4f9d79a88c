// Shape ops: views, rearrangements, joins and gathers. All take any dtype; i32 has no gradient.
//
// Axes may be negative. Throws `op: axis must be in [-r, r); got ..` and what is said below.
#pragma once
#include <array>

#include "qkv/autograd/tape.h"

namespace qkv {

/// Same elements, other shape, same buffer; in a list one extent may be -1 (inferred). Throws
/// `reshape: number of elements must stay ..`.
Var reshape(const Var& x, const Shape& shape);
Var reshape(const Var& x, std::initializer_list<Index> extents);

/// y.dim(i) = x.dim(order[i]); for [B, T, H, D] -> [B, H, T, D] and the like whole rows are copied. Throws
/// `permute: order must name each axis once; got ..`.
Var permute(const Var& x, const Axes& order);
/// Exchanges two axes.
Var transpose(const Var& x, int a = -2, int b = -1);

/// x repeated along axes of extent 1 and new leading axes. Throws `broadcast_to: shapes must broadcast; ..`.
Var broadcast_to(const Var& x, const Shape& shape);

/// Elements [begin, end) of `axis`; negative positions count from its end. A slice of the leading axis shares
/// the buffer. Throws `slice: range must lie in [0, n]; got [begin, end) of ..`.
Var slice(const Var& x, int axis, Index begin, Index end);
/// `count` equal parts along `axis`. Throws `split: extent must be divisible by ..; got ..`.
template <std::size_t count>
std::array<Var, count> split(const Var& x, int axis);

/// Joins along an existing axis: other extents are equal. Throws `concat: shapes must agree ..; got ..`.
Var concat(const Var* parts, int count, int axis);
Var concat(std::initializer_list<Var> parts, int axis);
/// Joins tensors of one shape along a new axis. Throws `stack: shapes must agree; got ..`.
Var stack(const Var* parts, int count, int axis);
Var stack(std::initializer_list<Var> parts, int axis);

/// Slices of x along `axis`, picked by `ids` (i32, any shape, negative from the end): y has the shape of x
/// with `axis` replaced by the shape of ids. The gradient is scattered back, added up where ids repeat.
/// Throws `index_select: ids must be in [-n, n); got ..`.
Var index_select(const Var& x, const Tensor& ids, int axis = 0);
/// y[i, j, k] = x[i, ids[i, j, k], k] (for axis 1): one element each. ids has x's rank and no larger extents
/// on the other axes. Throws `take_along: ids must be ..; got ..`.
Var take_along(const Var& x, const Tensor& ids, int axis);

/// Matrices [.., R, C] of which only the elements (r, c) with c - r <= diagonal (tril) or >= diagonal (triu)
/// are kept, the others 0. Throws `tril: x must have at least 2 axes; got ..`.
Var tril(const Var& x, Index diagonal = 0);
Var triu(const Var& x, Index diagonal = 0);

/// [..] i32 -> [.., depth] with 1 at the id and 0 elsewhere (no gradient). Throws
/// `one_hot: ids must be in [0, depth); got ..`.
Tensor one_hot(const Tensor& ids, Index depth, Dtype dtype = Dtype::f32);

template <std::size_t count>
std::array<Var, count> split(const Var& x, int axis) {
  constexpr Index n = Index(count);
  QKV_CHECK(x.dim(axis) % n == 0, "split: extent must be divisible by {}; got axis {} of {}", n, axis,
            x.shape());
  std::array<Var, count> parts;
  const Index extent = x.dim(axis) / n;
  for (Index i = 0; i < n; i++) parts[std::size_t(i)] = slice(x, axis, i * extent, (i + 1) * extent);
  return parts;
}

}  // namespace qkv
