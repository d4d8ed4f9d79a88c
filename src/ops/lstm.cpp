#include "composed.h"
#include "recurrent_scan.h"

namespace qkv {
using namespace recurrent;

Var lstm_composed(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
                  const RecurrentOptions& o) {
  return composed(x, start, o, W_hh.dim(1), [&](const Var& x_t, const RecurrentState& s) {
    const auto [i, f, g, out] = split<4>(linear(x_t, W_ih, b) + linear(s.h, W_hh), -1);
    const Var c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
    return RecurrentState{sigmoid(out) * tanh(c), c};
  });
}

namespace {

const Op kLstm("lstm", [](GradSuite& g) {
  auto check = [&](const char* label, Index B, Index T, bool start, RecurrentOptions o) {
    std::vector<Tensor> in{g.normal({B, T, 3}), g.normal({8, 3}), g.normal({8, 2}), g.normal({8})};
    if (start) in.push_back(g.normal({B, 2})), in.push_back(g.normal({B, 2}));
    auto state = [=](const Vars& v) {
      return start ? RecurrentState{v[4], v[5]} : RecurrentState{};
    };
    g.check(
        label, in, [=](const Vars& v) { return lstm(v[0], v[1], v[2], v[3], state(v), o); },
        [=](const Vars& v) { return lstm_composed(v[0], v[1], v[2], v[3], state(v), o); });
  };
  check("from zero", 2, 3, false, {});
  check("from a state", 2, 3, true, {});
  check("one step", 1, 1, true, {});
  check("reverse", 2, 3, true, {true, {}});
  check("lengths", 3, 3, true, {false, g.ints({3}, {2, 3, 0})});
  check("lengths, reverse", 2, 4, true, {true, g.ints({2}, {4, 1})});
  g.check("no bias", {g.normal({2, 2, 3}), g.normal({4, 3}), g.normal({4, 1})},
          [](const Vars& v) { return lstm(v[0], v[1], v[2], Var()); });
});

// What backward needs of the steps.
struct Kept {
  Tensor gates;         // [B, T, 4H]: i, f, g, o after their functions
  Tensor h, c, tanh_c;  // [B, T, H]: states before each step, tanh of the cell after it
};

// One row of one step: gates in place, c and h updated, h to y.
template <class E>
void step_forward(Index H, E* gate, E* c, E* h, E* tanh_c, E* y) {
  E *i = gate, *f = gate + H, *g = gate + 2 * H, *o = gate + 3 * H;
  simd::apply(2 * H, i, [](auto v) { return simd::logistic(v); });  // i and f
  simd::apply(H, g, [](auto v) { return simd::tanh(v); });
  simd::apply(H, o, [](auto v) { return simd::logistic(v); });
  simd::apply(H, c, c, i, f, g, [](auto c, auto i, auto f, auto g) { return f * c + i * g; });
  simd::apply(H, tanh_c, c, [](auto v) { return simd::tanh(v); });
  simd::apply(H, h, o, tanh_c, [](auto o, auto t) { return o * t; });
  std::copy_n(h, H, y);
}

// dh and dc come with what later steps say; d is the gradient of the gates before their functions. dc becomes
// that of the cell before, dh 0.
template <class E>
void lstm_step_backward(Index H, const E* gate, const E* c, const E* tanh_c, const E* dy, E* dh, E* dc,
                        E* d) {
  const E *i = gate, *f = gate + H, *g = gate + 2 * H, *o = gate + 3 * H;
  const simd::Batch<E> one(E(1));
  simd::add(H, dh, dy);
  simd::apply(H, dc, dc, dh, o, tanh_c,
              [&](auto dc, auto dh, auto o, auto t) { return dc + dh * o * (one - t * t); });
  simd::apply(H, d, dc, i, g, [&](auto dc, auto i, auto g) { return dc * g * i * (one - i); });
  simd::apply(H, d + H, dc, f, c, [&](auto dc, auto f, auto c) { return dc * c * f * (one - f); });
  simd::apply(H, d + 2 * H, dc, i, g, [&](auto dc, auto i, auto g) { return dc * i * (one - g * g); });
  simd::apply(H, d + 3 * H, dh, o, tanh_c, [&](auto dh, auto o, auto t) { return dh * t * o * (one - o); });
  simd::apply(H, dc, dc, f, [](auto dc, auto f) { return dc * f; });
  std::fill_n(dh, H, E(0));
}

}  // namespace

Var lstm(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
         const RecurrentOptions& o, RecurrentState* last) {
  const Scan s("lstm", 4, x, W_ih, W_hh, b, start, o);
  if (x.is_symbolic()) {
    Tensor::symbolic({s.B, s.T, 7 * s.H}, x.dtype());  // what Kept holds
    return Tensor::symbolic({s.B, s.T, s.H}, x.dtype());
  }
  return dispatch("lstm", x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const Index H = s.H, width = 4 * H;
    const Shape all{s.B, s.T, H};
    Kept k{input_gates(x, W_ih, b), Tensor::empty(all, x.dtype()), Tensor::empty(all, x.dtype()),
           Tensor::empty(all, x.dtype())};
    Tensor y = Tensor::empty(all, x.dtype()), h = state_of(s, start.h, x.dtype()),
           c = state_of(s, start.c, x.dtype());
    const Tensor W = transposed(W_hh);  // [H, 4H]
    s.forward<E>(
        y,
        [&](Index t) {
          keep<E>(s, h, k.h, t);
          keep<E>(s, c, k.c, t);
          gemm<E>(Trans::no, Trans::no, s.B, width, H, 1, h.data<E>(), H, W.data<E>(), width, 1,
                  k.gates.data<E>() + t * width, s.T * width);
        },
        [&](Index b, Index at) {
          step_forward<E>(H, k.gates.data<E>() + at * width, c.data<E>() + b * H, h.data<E>() + b * H,
                          k.tanh_c.data<E>() + at * H, y.data<E>() + at * H);
        });
    if (last) *last = {h, c};
    const Input inputs[] = {x, W_ih, W_hh, b, start.h, start.c};
    const Operands operands{x.value(), W_ih.value(), W_hh.value(), k.h};
    return record(kLstm, inputs, 6, y, [=](const Tensor& dy, Sink& dx) {
      const Index H = s.H, width = 4 * H;
      Tensor d = Tensor::empty({s.B, s.T, width}, dy.dtype()), dh = Tensor::zeros({s.B, H}, dy.dtype()),
             dc = Tensor::zeros({s.B, H}, dy.dtype());
      back_through_time<E>(s, operands, d, d, dh, dx, -1, [&](Index b, Index at) {
        lstm_step_backward<E>(H, k.gates.template data<E>() + at * width, k.c.template data<E>() + at * H,
                              k.tanh_c.template data<E>() + at * H, dy.data<E>() + at * H,
                              dh.data<E>() + b * H, dc.data<E>() + b * H, d.data<E>() + at * width);
      });
      dx.add(4, dh);
      dx.add(5, dc);
    });
  });
}

}  // namespace qkv
