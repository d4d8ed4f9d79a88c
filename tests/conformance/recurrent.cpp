// RNN, LSTM and GRU: the fused ops where they can say it; peepholes, clipping and GRU's reset before the
// product are unrolled into plain ops.
#include "qkv/ops/recurrent.h"
#include "operators.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"

namespace qkv::conformance {
namespace {

using List = std::vector<Var>;

// Element d of the leading axis, without that axis.
Var part(const Var& x, Index d) {
  const Var one = slice(x, 0, d, d + 1);
  return reshape(one, Shape(x.shape().begin() + 1, x.rank() - 1));
}

// Blocks of `H` rows of a [G H, ..] or [G H] tensor in another order.
Var reordered(const Var& x, Index H, std::initializer_list<Index> order) {
  std::vector<Var> blocks;
  for (Index g : order) blocks.push_back(slice(x, 0, g * H, (g + 1) * H));
  return concat(blocks.data(), static_cast<int>(blocks.size()), 0);
}

// One direction of one case, batch first.
struct Direction {
  Var x, W, R, Wb, Rb, h, c, P;  // biases always there
  Tensor lengths;
  bool reverse;
  Index B, T, H;
  double clip;
};

Var clipped(const Direction& d, const Var& x) {
  return d.clip > 0 ? clip(x, -d.clip, d.clip) : x;
}

// Runs h, state = cell(x_t, h) over the steps: all h [B, T, H] and the last one.
template <class Cell>
Var unrolled(const Direction& d, Cell cell) {
  for (Index b = 0; b < d.B; b++)
    QKV_CHECK(!d.lengths.defined() || d.lengths.at(b) == static_cast<double>(d.T),
              "sequence_lens must be the whole length here; got {}", d.lengths.str());
  std::vector<Var> states(static_cast<std::size_t>(d.T));
  Var h = d.h;
  for (Index i = 0; i < d.T; i++) {
    const Index t = d.reverse ? d.T - 1 - i : i;
    h = cell(reshape(slice(d.x, 1, t, t + 1), Shape{d.B, d.x.dim(2)}), h);
    states[static_cast<std::size_t>(t)] = reshape(h, Shape{d.B, 1, d.H});
  }
  return concat(states.data(), static_cast<int>(states.size()), 1);
}

Var gate(const Var& all, Index k, Index H) {
  return slice(all, -1, k * H, (k + 1) * H);
}

RecurrentOptions options(const Direction& d) {
  return {d.reverse, d.lengths};
}

Var rnn_of(Call&, const Direction& d, Var*) {
  if (d.clip == 0) return rnn(d.x, d.W, d.R, d.Wb + d.Rb, {d.h, {}}, options(d));
  return unrolled(d, [&](const Var& x, const Var& h) {
    return tanh(clipped(d, linear(x, d.W, d.Wb) + linear(h, d.R, d.Rb)));
  });
}

// Gates of the cases: i, o, f, c.
Var lstm_of(Call&, const Direction& d, Var* last_c) {
  if (!d.P.defined() && d.clip == 0) {
    const auto in_our_order = [&](const Var& v) {
      return reordered(v, d.H, {0, 2, 3, 1});
    };
    RecurrentState last;
    const Var y = lstm(d.x, in_our_order(d.W), in_our_order(d.R), in_our_order(d.Wb + d.Rb), {d.h, d.c},
                       options(d), &last);
    *last_c = last.c;
    return y;
  }
  const Var P = d.P.defined() ? d.P : Var(Tensor::zeros({3 * d.H}, d.x.dtype()));  // of i, o, f
  Var c = d.c;
  const Var y = unrolled(d, [&](const Var& x, const Var& h) {
    const Var g = linear(x, d.W, d.Wb) + linear(h, d.R, d.Rb);
    const Var i = sigmoid(clipped(d, gate(g, 0, d.H) + gate(P, 0, d.H) * c)),
              f = sigmoid(clipped(d, gate(g, 2, d.H) + gate(P, 2, d.H) * c));
    c = f * c + i * tanh(clipped(d, gate(g, 3, d.H)));
    return sigmoid(clipped(d, gate(g, 1, d.H) + gate(P, 1, d.H) * c)) * tanh(c);
  });
  *last_c = c;
  return y;
}

// Gates of the cases: z, r, h.
Var gru_of(Call& call, const Direction& d, Var*) {
  const bool after = call.flag("linear_before_reset", false);
  if (after && d.clip == 0) {
    const auto in_our_order = [&](const Var& v) {
      return reordered(v, d.H, {1, 0, 2});
    };
    return gru(d.x, in_our_order(d.W), in_our_order(d.R), in_our_order(d.Wb), in_our_order(d.Rb), {d.h, {}},
               options(d));
  }
  const Var R_n = slice(d.R, 0, 2 * d.H, 3 * d.H), b_n = slice(d.Rb, 0, 2 * d.H, 3 * d.H);
  return unrolled(d, [&](const Var& x, const Var& h) {
    const Var gx = linear(x, d.W, d.Wb), gh = linear(h, d.R, d.Rb);
    const Var z = sigmoid(clipped(d, gate(gx, 0, d.H) + gate(gh, 0, d.H))),
              r = sigmoid(clipped(d, gate(gx, 1, d.H) + gate(gh, 1, d.H)));
    const Var from_h = after ? r * gate(gh, 2, d.H) : linear(r * h, R_n, b_n);
    return (1.0 - z) * tanh(clipped(d, gate(gx, 2, d.H) + from_h)) + z * h;
  });
}

Operator recurrent(Index gates, Var (*run)(Call&, const Direction&, Var* last_c)) {
  return [=](Call& c) {
    const bool batch_first = c.integer("layout", 0) == 1;
    const std::string direction = c.text("direction", "forward");
    const Var x = batch_first ? c.data(0) : permute(c.data(0), {1, 0, 2});  // [B, T, I]
    const Var W = c.data(1), R = c.data(2);
    const Index D = W.dim(0), H = R.dim(2), B = x.dim(0), T = x.dim(1);
    QKV_CHECK(c.integer("hidden_size", H) == H, "hidden_size must be {}; got {}", H,
              c.integer("hidden_size", H));
    QKV_CHECK(D == (direction == "bidirectional" ? 2 : 1), "directions must be {}; got {}", direction, D);
    const double clip = c.real("clip", 0.0);
    // [D, B, H], or batch first [B, D, H]
    auto state = [&](int i) {
      if (!c.has(i)) return Var(Tensor::zeros({D, B, H}, c.dtype()));
      return batch_first ? permute(c.data(i), {1, 0, 2}) : c.data(i);
    };
    const Var h0 = state(5), c0 = gates == 4 ? state(6) : Var(Tensor::zeros({D, B, H}, c.dtype()));
    std::vector<Var> all, last_h, last_c;
    for (Index d = 0; d < D; d++) {
      const Var bias = c.has(3) ? part(c.data(3), d) : Var(Tensor::zeros({2 * gates * H}, c.dtype()));
      Direction one{x,
                    part(W, d),
                    part(R, d),
                    slice(bias, 0, 0, gates * H),
                    slice(bias, 0, gates * H, 2 * gates * H),
                    part(h0, d),
                    part(c0, d),
                    gates == 4 && c.has(7) ? part(c.data(7), d) : Var(),
                    c.has(4) ? c.ids(4) : Tensor(),
                    direction == "reverse" || d == 1,
                    B,
                    T,
                    H,
                    clip};
      Var end;
      const Var y = run(c, one, &end);  // [B, T, H]
      Tensor last = Tensor::zeros({B}, Dtype::i32);
      if (!one.reverse)
        for (Index b = 0; b < B; b++)
          last.data<std::int32_t>()[b] = static_cast<std::int32_t>(
              (one.lengths.defined() ? static_cast<Index>(one.lengths.at(b)) : T) - 1);
      all.push_back(reshape(y, Shape{B, T, 1, H}));
      last_h.push_back(reshape(select_positions(y, last), Shape{1, B, H}));
      if (end.defined()) last_c.push_back(reshape(end, Shape{1, B, H}));
    }
    auto joined = [&](const std::vector<Var>& parts, int axis) {
      return concat(parts.data(), static_cast<int>(parts.size()), axis);
    };
    auto states = [&](const std::vector<Var>& parts) {
      return batch_first ? permute(joined(parts, 0), {1, 0, 2}) : joined(parts, 0);
    };
    const Var y = joined(all, 2);  // [B, T, D, H]
    List result{batch_first ? y : permute(y, {1, 2, 0, 3}), states(last_h)};
    if (gates == 4) result.push_back(states(last_c));
    return result;
  };
}

const Counterpart kTable[] = {
    {"RNN", recurrent(1, rnn_of)},
    {"LSTM", recurrent(4, lstm_of)},
    {"GRU", recurrent(3, gru_of)},
};

}  // namespace
}  // namespace qkv::conformance
