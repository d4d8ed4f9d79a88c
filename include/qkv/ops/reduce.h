// Reductions over any axes, and cumulative sums (f32 or f64).
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
Var min(const Var& x, const Axes& axes = {}, bool keep_dims = false);
/// log(sum(exp(x))), without overflow; -inf for nothing.
Var logsumexp(const Var& x, const Axes& axes = {}, bool keep_dims = false);

/// Position of the largest element along `axis` (i32, no gradient): the first among equals, or the `last`; a
/// nan counts as largest. Throws `argmax: must reduce at least one element; got ..`.
Tensor argmax(const Var& x, int axis, bool keep_dims = false, bool last = false);

/// y[t] = sum of x[0 .. t] along `axis`; `exclusive` leaves out x[t], `reverse` sums x[t ..] instead.
Var cumsum(const Var& x, int axis, bool exclusive = false, bool reverse = false);

}  // namespace qkv
