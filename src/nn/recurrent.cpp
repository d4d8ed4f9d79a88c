#include "qkv/nn/recurrent.h"

#include <cmath>

#include "qkv/autograd/capture.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

Recurrent::Recurrent(const Scope& s, const std::string& cell, Index in, Index hidden, bool bidirectional)
    : cell(cell), hidden(hidden), path(s.path()) {
  QKV_CHECK(cell == "rnn" || cell == "lstm" || cell == "gru",
            "recurrent: cell must be rnn, lstm or gru; got '{}'", cell);
  forward = direction(s, "", in);
  if (bidirectional) backward = direction(s, "_reverse", in);
}

Recurrent::Direction Recurrent::direction(const Scope& s, const std::string& suffix, Index in) const {
  const Index gates = cell == "lstm" ? 4 : cell == "gru" ? 3 : 1;
  const double bound = 1.0 / std::sqrt(double(hidden));
  const Init uniform = init::uniform(-bound, bound);
  const Init bias = [uniform, forget = cell == "lstm", H = hidden](Tensor& value, const Stream& stream) {
    uniform(value, stream);
    if (forget) value.rows(H, H).fill(1.0);  // of i, f, g, o
  };
  return {s.param("W_ih" + suffix, {gates * hidden, in}, uniform),
          s.param("W_hh" + suffix, {gates * hidden, hidden}, uniform),
          s.param("b_ih" + suffix, {gates * hidden}, bias),
          cell == "gru" ? s.param("b_hh" + suffix, {gates * hidden}, uniform) : Parameter()};
}

Var Recurrent::run(const Direction& d, const Var& x, const RecurrentOptions& options,
                   RecurrentState* state) const {
  const RecurrentState start = state ? *state : RecurrentState{};
  if (cell == "lstm") return lstm(x, d.W_ih, d.W_hh, d.b_ih, start, options, state);
  if (cell == "gru") return gru(x, d.W_ih, d.W_hh, d.b_ih, d.b_hh, start, options, state);
  return rnn(x, d.W_ih, d.W_hh, d.b_ih, start, options, state);
}

Var Recurrent::operator()(const Var& x, const Tensor& lengths, RecurrentState* state) const {
  LayerPath here(path);
  RecurrentOptions options;
  options.lengths = lengths;
  Var y = run(forward, x, options, state);  // [B, T, H]
  if (!backward.W_ih.defined()) return activation("out", std::move(y));
  options.reverse = true;
  return activation("out", concat({y, run(backward, x, options, nullptr)}, -1));  // [B, T, 2 H]
}

}  // namespace qkv
