#include "qkv/ops/recurrent.h"

#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "recurrent_scan.h"

namespace qkv {
using namespace recurrent;
namespace {

struct RnnCell {
  static constexpr Index kGates = 1;
  static constexpr bool kCarries = false, kApart = false, kKeeps = false;

  RecurrentState equations(const Operands& w, const Var& x_t, const RecurrentState& s) const {
    const Var sum = linear(x_t, w.W_ih, w.b) + linear(s.h, w.W_hh);
    return {tanh(sum), s.c};
  }

  template <class E>
  void forward(Index H, E* gate, const E*, E*, E* h, E*) const {
    simd::apply(H, gate, [](auto v) { return simd::tanh(v); });
    std::copy_n(gate, H, h);
  }

  template <class E>
  void backward(Index H, const E* y, const E*, const E*, const E*, E* dh, E*, E* d, E*) const {
    const simd::Batch<E> one(E(1));
    simd::apply(H, d, y, dh, [&](auto y, auto dh) { return dh * (one - y * y); });
    std::fill_n(dh, H, E(0));
  }
};

struct LstmCell {
  static constexpr Index kGates = 4;                                     // i, f, g, o
  static constexpr bool kCarries = true, kApart = false, kKeeps = true;  // tanh(c)

  RecurrentState equations(const Operands& w, const Var& x_t, const RecurrentState& s) const {
    const auto [i, f, g, o] = split<4>(linear(x_t, w.W_ih, w.b) + linear(s.h, w.W_hh), -1);
    const Var c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
    return {sigmoid(o) * tanh(c), c};
  }

  template <class E>
  void forward(Index H, E* gate, const E*, E* tanh_c, E* h, E* c) const {
    E *i = gate, *f = gate + H, *g = gate + 2 * H, *o = gate + 3 * H;
    simd::apply(2 * H, i, [](auto v) { return simd::logistic(v); });  // i and f
    simd::apply(H, g, [](auto v) { return simd::tanh(v); });
    simd::apply(H, o, [](auto v) { return simd::logistic(v); });
    simd::apply(H, c, c, i, f, g, [](auto c, auto i, auto f, auto g) { return f * c + i * g; });
    simd::apply(H, tanh_c, c, [](auto v) { return simd::tanh(v); });
    simd::apply(H, h, o, tanh_c, [](auto o, auto t) { return o * t; });
  }

  template <class E>
  void backward(Index H, const E* gate, const E* tanh_c, const E*, const E* c, E* dh, E* dc, E* d, E*) const {
    const E *i = gate, *f = gate + H, *g = gate + 2 * H, *o = gate + 3 * H;
    const simd::Batch<E> one(E(1));
    simd::apply(H, dc, dc, dh, o, tanh_c,
                [&](auto dc, auto dh, auto o, auto t) { return dc + dh * o * (one - t * t); });
    simd::apply(H, d, dc, i, g, [&](auto dc, auto i, auto g) { return dc * g * i * (one - i); });
    simd::apply(H, d + H, dc, f, c, [&](auto dc, auto f, auto c) { return dc * c * f * (one - f); });
    simd::apply(H, d + 2 * H, dc, i, g, [&](auto dc, auto i, auto g) { return dc * i * (one - g * g); });
    simd::apply(H, d + 3 * H, dh, o, tanh_c, [&](auto dh, auto o, auto t) { return dh * t * o * (one - o); });
    simd::apply(H, dc, dc, f, [](auto dc, auto f) { return dc * f; });
    std::fill_n(dh, H, E(0));
  }
};

struct GruCell {
  static constexpr Index kGates = 3;                                     // r, z, n
  static constexpr bool kCarries = false, kApart = true, kKeeps = true;  // h_n

  RecurrentState equations(const Operands& w, const Var& x_t, const RecurrentState& s) const {
    const auto [x_r, x_z, x_n] = split<3>(linear(x_t, w.W_ih, w.b), -1);
    const auto [h_r, h_z, h_n] = split<3>(linear(s.h, w.W_hh, w.b_hh), -1);
    const Var r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z), n = tanh(x_n + r * h_n);
    return {(1.0 - z) * n + z * s.h, s.c};
  }

  template <class E>
  void forward(Index H, E* gate, const E* recurrent, E* h_n, E* h, E*) const {
    E *r = gate, *z = gate + H, *n = gate + 2 * H;
    const simd::Batch<E> one(E(1));
    std::copy_n(recurrent + 2 * H, H, h_n);
    simd::apply(2 * H, r, r, recurrent, [](auto a, auto b) { return simd::logistic(a + b); });  // r and z
    simd::apply(H, n, n, r, recurrent + 2 * H, [](auto x, auto r, auto h) { return simd::tanh(x + r * h); });
    simd::apply(H, h, h, z, n, [&](auto h, auto z, auto n) { return (one - z) * n + z * h; });
  }

  template <class E>
  void backward(Index H, const E* gate, const E* h_n, const E* h, const E*, E* dh, E*, E* d, E* e) const {
    const E *r = gate, *z = gate + H, *n = gate + 2 * H;
    E *dr = d, *dz = d + H, *dn = d + 2 * H;
    const simd::Batch<E> one(E(1));
    simd::apply(H, dn, dh, z, n, [&](auto dh, auto z, auto n) { return dh * (one - z) * (one - n * n); });
    simd::apply(H, dz, dh, z, n, h,
                [&](auto dh, auto z, auto n, auto h) { return dh * (h - n) * z * (one - z); });
    simd::apply(H, dr, dn, r, h_n, [&](auto dn, auto r, auto h_n) { return dn * h_n * r * (one - r); });
    std::copy_n(d, 2 * H, e);
    simd::apply(H, e + 2 * H, dn, r, [](auto dn, auto r) { return dn * r; });
    simd::apply(H, dh, dh, z, [](auto dh, auto z) { return dh * z; });
  }
};

const Op kRnn("rnn", [](GradSuite& g) { check_cell(g, kRnn, RnnCell()); });
const Op kLstm("lstm", [](GradSuite& g) { check_cell(g, kLstm, LstmCell()); });
const Op kGru("gru", [](GradSuite& g) { check_cell(g, kGru, GruCell()); });

}  // namespace

Var rnn(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
        const RecurrentOptions& o, RecurrentState* last) {
  return run(kRnn, RnnCell(), {x, W_ih, W_hh, b, {}}, start, o, last);
}

Var lstm(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
         const RecurrentOptions& o, RecurrentState* last) {
  return run(kLstm, LstmCell(), {x, W_ih, W_hh, b, {}}, start, o, last);
}

Var gru(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b_ih, const Var& b_hh,
        const RecurrentState& start, const RecurrentOptions& o, RecurrentState* last) {
  return run(kGru, GruCell(), {x, W_ih, W_hh, b_ih, b_hh}, start, o, last);
}

}  // namespace qkv
