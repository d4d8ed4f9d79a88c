// Dropout.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// Inverted dropout (Srivastava et al. 2014): each element becomes 0 with probability p, else x / (1 - p), so
/// that the mean stays. Draws from the current tape (`Tape::next_stream`); without a tape, on a tape without
/// randomness, or with p = 0 it is x itself. f32 or f64; the mask is kept for the gradient.
/// Throws `dropout: p must be in [0, 1); got ..`.
Var dropout(const Var& x, double p);

}  // namespace qkv
