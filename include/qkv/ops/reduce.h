// Reductions over any axes, softmax and cumulative sums (f32 or f64).
//
// `axes` is a list such as {0, -1}, one axis, or {} for all of them; `keep_dims` leaves reduced axes as
// extents of 1. Sums of f32 are taken in f32 over at most 256 elements and in f64 beyond. Throws
// `op: axis must be in [-r, r); got ..`.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// The sum of nothing is 0.
Var sum(const Var& x, const Axes& axes = {}, bool keep_dims = false);
/// The mean of nothing is nan.
Var mean(const Var& x, const Axes& axes = {}, bool keep_dims = false);
/// Largest element; nan where there is one. Among equals the first gets the gradient. Throws
/// `max: must reduce at least one element; got ..`.
Var max(const Var& x, const Axes& axes = {}, bool keep_dims = false);
/// The smallest, in the same way.
Var min(const Var& x, const Axes& axes = {}, bool keep_dims = false);
/// log(sum(exp(x))), without overflow; -inf for nothing.
Var logsumexp(const Var& x, const Axes& axes = {}, bool keep_dims = false);

/// Position of the largest element along `axis` (i32, no gradient): the first among equals, or the `last`; a
/// nan counts as largest. Throws `argmax: must reduce at least one element; got ..`.
Tensor argmax(const Var& x, int axis, bool keep_dims = false, bool last = false);

/// y[t] = sum of x[0 .. t] along `axis`; `exclusive` leaves out x[t], `reverse` sums x[t ..] instead.
Var cumsum(const Var& x, int axis, bool exclusive = false, bool reverse = false);

/// y_i = exp(x_i) / sum_j exp(x_j) along `axis` (Bridle 1990); f32 or f64, the shape stays. The maximum is
/// subtracted first, so no finite input overflows. A row that is -inf throughout has nothing to choose from:
/// it gives zeros and zero gradient (as in `attention`), where PyTorch gives NaN.
/// Throws `softmax: axis must be in [-r, r); got .. for shape ..`.
Var softmax(const Var& x, int axis = -1);

/// y_i = x_i - log(sum_j exp(x_j)) along `axis`, without the rounding of log(softmax(x)). A row that is -inf
/// throughout stays -inf and gives zero gradient.
Var log_softmax(const Var& x, int axis = -1);

}  // namespace qkv
