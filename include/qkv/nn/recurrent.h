// Recurrent: a layer that reads a sequence step by step, in one direction or both.
#pragma once
#include "qkv/nn/parameter.h"
#include "qkv/ops/recurrent.h"

namespace qkv {

/// x [B, T, in] -> [B, T, H], or [B, T, 2 H] when bidirectional: forward beside backward. Cells: "rnn"
/// (tanh), "lstm", "gru"; equations in ops/recurrent.h. Parameters W_ih [G H, in], W_hh [G H, H], b_ih [G H]
/// and, of a GRU, b_hh; those of the backward direction end in "_reverse". All start in U(-1/sqrt(H),
/// 1/sqrt(H)) as in PyTorch, but the bias of an LSTM's forget gates at 1 (Jozefowicz et al. 2015).
struct Recurrent {
  Recurrent(const Scope& s, const std::string& cell, Index in, Index hidden, bool bidirectional = false);
  /// `lengths` [B] (i32): real steps of each row. `state`, when given, is what the forward direction starts
  /// from, and becomes what it ends with.
  Var operator()(const Var& x, const Tensor& lengths = {}, RecurrentState* state = nullptr) const;
  Index out_width() const { return backward.W_ih.defined() ? 2 * hidden : hidden; }

  struct Direction {
    Parameter W_ih, W_hh, b_ih, b_hh;
  };
  std::string cell;
  Index hidden;
  Direction forward, backward;
  std::string path;

 private:
  Direction direction(const Scope& s, const std::string& suffix, Index in) const;
  Var run(const Direction& d, const Var& x, const RecurrentOptions& options, RecurrentState* state) const;
};

}  // namespace qkv
