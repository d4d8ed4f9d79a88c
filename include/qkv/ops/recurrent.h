// Recurrent layers over whole sequences: one op per layer, backward through time included. f32 or f64. They
// throw `op: x must be [B, T, I]; got ..`, `op: W_ih and W_hh must be ..; got ..` and the like.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// Which steps there are, and their order.
struct RecurrentOptions {
  bool reverse = false;  ///< from the last step to the first
  /// [B] (i32): real steps of each row; later ones give 0 and keep the state; undefined = all.
  Tensor lengths;
};

/// What a recurrent layer starts from and ends with, each [B, H]; undefined = zeros.
struct RecurrentState {
  Var h, c;
};

/// Elman network (Elman 1990): h_t = f(x_t W_ih^T + b + h_(t-1) W_hh^T), f = tanh.
/// x [B, T, I], W_ih [H, I], W_hh [H, H], b [H] or undefined -> all h_t [B, T, H]. `last`, when given,
/// receives the state after the last real step, without gradient.
Var rnn(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start = {},
        const RecurrentOptions& options = {}, RecurrentState* last = nullptr);

/// Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
///   (i, f, g, o) = x_t W_ih^T + b + h_(t-1) W_hh^T
///   c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t)
/// x [B, T, I], W_ih [4H, I], W_hh [4H, H], b [4H] or undefined -> all h_t [B, T, H]. Gates in PyTorch's
/// order, its two biases added up.
Var lstm(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start = {},
         const RecurrentOptions& options = {}, RecurrentState* last = nullptr);

/// Gated recurrent unit (Cho et al. 2014) in PyTorch's form, the reset gate after the product:
///   r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z), n = tanh(x_n + r h_n),   h_t = (1 - z) n + z h_(t-1)
/// with (x_r, x_z, x_n) = x_t W_ih^T + b_ih and (h_r, h_z, h_n) = h_(t-1) W_hh^T + b_hh.
/// x [B, T, I], W_ih [3H, I], W_hh [3H, H], b_ih and b_hh [3H] or undefined -> all h_t [B, T, H].
Var gru(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b_ih, const Var& b_hh,
        const RecurrentState& start = {}, const RecurrentOptions& options = {},
        RecurrentState* last = nullptr);

}  // namespace qkv
