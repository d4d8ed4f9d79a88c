// Activations and other elementwise functions of one tensor (f32 or f64, any shape), over vectorised exp,
// tanh, erf and log; dropout. They throw `op: dtype must be f32 or f64; got i32`.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// The functions of these names; log and sqrt of negative elements are nan.
Var exp(const Var& x);
Var log(const Var& x);
Var sqrt(const Var& x);
Var tanh(const Var& x);
Var erf(const Var& x);
/// 1 / (1 + exp(-x))
Var sigmoid(const Var& x);
/// max(x, 0), with gradient 0 at 0.
Var relu(const Var& x);
/// max(x, 0)^2 (So et al. 2021, "Primer").
Var relu_squared(const Var& x);
/// x where x > 0, else slope * x.
Var leaky_relu(const Var& x, double slope = 0.01);
/// x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016).
Var elu(const Var& x, double alpha = 1.0);
/// log(1 + exp(x)), without overflow.
Var softplus(const Var& x);
/// cap tanh(x / cap): x where |x| is far below `cap`, and never beyond it (Gemma team 2024, "Gemma 2").
/// Throws `softcap: cap must be positive; got ..`.
Var softcap(const Var& x, double cap);

enum class GeluForm {
  erf,  ///< x Phi(x), Phi the normal distribution function: exact
  tanh  ///< x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): GPT-2's approximation
};
/// Gaussian error linear unit (Hendrycks and Gimpel 2016).
Var gelu(const Var& x, GeluForm form = GeluForm::erf);

/// x sigmoid(alpha x): SiLU, also called swish (Ramachandran et al. 2017).
Var silu(const Var& x, double alpha = 1.0);

/// swish(gate) * up in one pass, the inner part of a gated feed-forward layer (Shazeer 2020, "GLU variants
/// improve transformer"). Equal shapes. Throws `swiglu: shapes must agree; got gate .., up ..`.
Var swiglu(const Var& gate, const Var& up, double alpha = 1.0);

/// Inverted dropout (Srivastava et al. 2014): each element becomes 0 with probability p, else x / (1 - p), so
/// that the mean stays. Draws from the current tape (`Tape::next_stream`); without a tape, on a tape without
/// randomness, or with p = 0 it is x itself. f32 or f64; the mask is kept for the gradient.
/// Throws `dropout: p must be in [0, 1); got ..`.
Var dropout(const Var& x, double p);

}  // namespace qkv
