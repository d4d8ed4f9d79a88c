#include "composed.h"
#include "recurrent_scan.h"

namespace qkv {
using namespace recurrent;

Var gru_composed(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b_ih, const Var& b_hh,
                 const RecurrentState& start, const RecurrentOptions& o) {
  return composed(x, start, o, W_hh.dim(1), [&](const Var& x_t, const RecurrentState& s) {
    const auto [x_r, x_z, x_n] = split<3>(linear(x_t, W_ih, b_ih), -1);
    const auto [h_r, h_z, h_n] = split<3>(linear(s.h, W_hh, b_hh), -1);
    const Var r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z), n = tanh(x_n + r * h_n);
    return RecurrentState{(1.0 - z) * n + z * s.h, s.c};
  });
}

namespace {

const Op kGru("gru", [](GradSuite& g) {
  auto check = [&](const char* label, Index B, Index T, RecurrentOptions o) {
    g.check(
        label,
        {g.normal({B, T, 3}), g.normal({6, 3}), g.normal({6, 2}), g.normal({6}), g.normal({6}),
         g.normal({B, 2})},
        [=](const Vars& v) {
          return gru(v[0], v[1], v[2], v[3], v[4], {v[5], {}}, o);
        },
        [=](const Vars& v) {
          return gru_composed(v[0], v[1], v[2], v[3], v[4], {v[5], {}}, o);
        });
  };
  check("steps", 2, 3, {});
  check("one step", 1, 1, {});
  check("reverse", 2, 3, {true, {}});
  check("lengths", 3, 3, {false, g.ints({3}, {2, 3, 0})});
  check("lengths, reverse", 2, 4, {true, g.ints({2}, {4, 1})});
  g.check("no biases, from zero", {g.normal({2, 2, 3}), g.normal({3, 3}), g.normal({3, 1})},
          [](const Vars& v) { return gru(v[0], v[1], v[2], Var(), Var()); });
});

// One row of one step. gate: r, z, n in place (after their functions); rec: h W_hh^T + b_hh, of which h_n is
// kept.
template <class E>
void step_forward(Index H, E* gate, const E* rec, E* h, E* y) {
  E *r = gate, *z = gate + H, *n = gate + 2 * H;
  const simd::Batch<E> one(E(1));
  simd::apply(2 * H, r, r, rec, [](auto a, auto b) { return simd::logistic(a + b); });  // r and z
  simd::apply(H, n, n, r, rec + 2 * H, [](auto x, auto r, auto h) { return simd::tanh(x + r * h); });
  simd::apply(H, h, h, z, n, [&](auto h, auto z, auto n) { return (one - z) * n + z * h; });
  std::copy_n(h, H, y);
}

// d: gradients of the input gates; e: of the recurrent ones; dh comes in as that of h_t and goes out as z dh.
template <class E>
void step_backward(Index H, const E* gate, const E* h_n, const E* before, const E* dy, E* dh, E* d, E* e) {
  const E *r = gate, *z = gate + H, *n = gate + 2 * H;
  E *dr = d, *dz = d + H, *dn = d + 2 * H;
  const simd::Batch<E> one(E(1));
  simd::add(H, dh, dy);
  simd::apply(H, dn, dh, z, n, [&](auto dh, auto z, auto n) { return dh * (one - z) * (one - n * n); });
  simd::apply(H, dz, dh, z, n, before,
              [&](auto dh, auto z, auto n, auto h) { return dh * (h - n) * z * (one - z); });
  simd::apply(H, dr, dn, r, h_n, [&](auto dn, auto r, auto h_n) { return dn * h_n * r * (one - r); });
  std::copy_n(d, 2 * H, e);
  simd::apply(H, e + 2 * H, dn, r, [](auto dn, auto r) { return dn * r; });
  simd::apply(H, dh, dh, z, [](auto dh, auto z) { return dh * z; });
}

}  // namespace

Var gru(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b_ih, const Var& b_hh,
        const RecurrentState& start, const RecurrentOptions& o, RecurrentState* last) {
  const Scan s("gru", 3, x, W_ih, W_hh, b_ih, start, o);
  QKV_CHECK(!b_hh.defined() || (b_hh.shape() == Shape{3 * s.H} && b_hh.dtype() == x.dtype()),
            "gru: b_hh must be {} {}; got {} {}", x.dtype(), Shape{3 * s.H}, b_hh.dtype(), b_hh.shape());
  if (x.is_symbolic()) return Tensor::symbolic({s.B, s.T, s.H}, x.dtype());
  return dispatch("gru", x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const Index H = s.H, width = 3 * H;
    const Shape all{s.B, s.T, H};
    Tensor gates = input_gates(x, W_ih, b_ih), y = Tensor::empty(all, x.dtype()),
           before = Tensor::empty(all, x.dtype()), h_n = Tensor::empty(all, x.dtype()),
           h = state_of(s, start.h, x.dtype()), rec = Tensor::empty({s.B, width}, x.dtype());
    const Tensor W = transposed(W_hh);  // [H, 3H]
    s.forward<E>(
        y,
        [&](Index t) {
          keep<E>(s, h, before, t);
          if (b_hh.defined())
            gemm_bias<E>(Trans::no, Trans::no, s.B, width, H, h.data<E>(), H, W.data<E>(), width,
                         b_hh.value().data<E>(), rec.data<E>(), width);
          else
            gemm<E>(Trans::no, Trans::no, s.B, width, H, 1, h.data<E>(), H, W.data<E>(), width, 0,
                    rec.data<E>(), width);
        },
        [&](Index b, Index at) {
          const E* own = rec.data<E>() + b * width;
          std::copy_n(own + 2 * H, H, h_n.data<E>() + at * H);
          step_forward<E>(H, gates.data<E>() + at * width, own, h.data<E>() + b * H, y.data<E>() + at * H);
        });
    if (last) *last = {h, {}};
    const Input inputs[] = {x, W_ih, W_hh, b_ih, b_hh, start.h};
    const Operands operands{x.value(), W_ih.value(), W_hh.value(), before};
    return record(kGru, inputs, 6, y, [=](const Tensor& dy, Sink& dx) {
      const Index H = s.H, width = 3 * H;
      const Shape shape{s.B, s.T, width};
      Tensor d = Tensor::empty(shape, dy.dtype()), e = Tensor::zeros(shape, dy.dtype()),
             dh = Tensor::zeros({s.B, H}, dy.dtype());
      back_through_time<E>(s, operands, d, e, dh, dx, 4, [&](Index b, Index at) {
        step_backward<E>(H, gates.template data<E>() + at * width, h_n.template data<E>() + at * H,
                         before.template data<E>() + at * H, dy.data<E>() + at * H, dh.data<E>() + b * H,
                         d.data<E>() + at * width, e.data<E>() + at * width);
      });
      dx.add(5, dh);
    });
  });
}

}  // namespace qkv
