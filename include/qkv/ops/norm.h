// Layer norm and RMS norm.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// y = (x - mean) / sqrt(variance + eps) * gain + bias over the last axis, the variance being that of the
/// population (Ba et al. 2016, "Layer normalization"). x [.., d], gain [d], bias [d] or undefined; f32 or
/// f64. Throws `layer_norm: gain must be ..; got ..`.
Var layer_norm(const Var& x, const Var& gain, const Var& bias = {}, double eps = 1e-5);
/// The same over the axes [axis, rank) together; gain and bias have the shape of those axes.
Var layer_norm(const Var& x, const Var& gain, const Var& bias, int axis, double eps);

/// y = x / sqrt(mean(x^2) + eps) * gain (Zhang and Sennrich 2019, "Root mean square layer normalization").
/// Shapes, dtypes and errors as of `layer_norm`.
Var rms_norm(const Var& x, const Var& gain, double eps = 1e-6);
/// The same over the axes [axis, rank) together.
Var rms_norm(const Var& x, const Var& gain, int axis, double eps);

/// QK-norm: RMS norm of each query and key (Henry et al. 2020, "Query-key normalization for transformers";
/// Dehghani et al. 2023). x [B, T, W] begins with `queries` heads of d_head columns, then `keys` heads; what
/// follows, such as the values, is copied. gain [2 d_head], that of queries, then that of keys; [d_head] if
/// keys = 0; undefined = 1. f32 or f64. Throws `qk_norm: x must be ..; got ..`, `qk_norm: gain must be ..;
/// got ..`.
Var qk_norm(const Var& x, const Var& gain, Index d_head, Index queries, Index keys, double eps);

}  // namespace qkv
