// Softmax and its logarithm.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// y_i = exp(x_i) / sum_j exp(x_j) along `axis` (Bridle 1990); f32 or f64, the shape stays. The maximum is
/// subtracted first, so no finite input overflows. A row that is -inf throughout has nothing to choose from:
/// it gives zeros and zero gradient (as in `attention`), where PyTorch gives NaN.
/// Throws `softmax: axis must be in [-r, r); got .. for shape ..`.
Var softmax(const Var& x, int axis = -1);

/// y_i = x_i - log(sum_j exp(x_j)) along `axis`, without the rounding of log(softmax(x)). A row that is -inf
/// throughout stays -inf and gives zero gradient.
Var log_softmax(const Var& x, int axis = -1);

}  // namespace qkv
