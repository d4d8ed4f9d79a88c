#include "qkv/autograd/gradcheck.h"
#include "recurrent_scan.h"

namespace qkv {
using namespace recurrent;
namespace {

const Op kLstm("lstm", [](GradSuite& g) {
  auto check = [&](const char* label, Index B, Index T, bool start, RecurrentOptions o) {
    std::vector<Tensor> in{g.normal({B, T, 3}), g.normal({8, 3}), g.normal({8, 2}), g.normal({8})};
    if (start) in.push_back(g.normal({B, 2})), in.push_back(g.normal({B, 2}));
    g.check(label, in, [=](const std::vector<Var>& v) {
      return lstm(v[0], v[1], v[2], v[3], start ? RecurrentState{v[4], v[5]} : RecurrentState{}, o);
    });
  };
  check("from zero", 2, 3, false, {});
  check("from a state", 2, 3, true, {});
  check("one step", 1, 1, true, {});
  check("reverse", 2, 3, true, {true, {}});
  check("lengths", 3, 3, true, {false, Tensor::from({3}, std::vector<std::int32_t>{2, 3, 0})});
  check("lengths, reverse", 2, 4, true, {true, Tensor::from({2}, std::vector<std::int32_t>{4, 1})});
  g.check("no bias", {g.normal({2, 2, 3}), g.normal({4, 3}), g.normal({4, 1})},
          [](const std::vector<Var>& v) { return lstm(v[0], v[1], v[2], Var()); });
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
  simd::apply<E>(
      2 * H, i, [](auto v) { return sigmoid(v); }, static_cast<const E*>(i));  // i and f
  simd::apply<E>(
      H, g, [](auto v) { return xsimd::tanh(v); }, static_cast<const E*>(g));
  simd::apply<E>(
      H, o, [](auto v) { return sigmoid(v); }, static_cast<const E*>(o));
  simd::apply<E>(
      H, c, [](auto c, auto i, auto f, auto g) { return f * c + i * g; }, static_cast<const E*>(c), i, f, g);
  simd::apply<E>(
      H, tanh_c, [](auto v) { return xsimd::tanh(v); }, static_cast<const E*>(c));
  simd::apply<E>(
      H, h, [](auto o, auto t) { return o * t; }, o, tanh_c);
  std::copy_n(h, H, y);
}

// dh and dc come with what later steps say; d is the gradient of the gates before their functions. dc becomes
// that of the cell before.
template <class E>
void step_backward(Index H, const E* gate, const E* c, const E* tanh_c, const E* dy, E* dh, E* dc, E* d) {
  const E *i = gate, *f = gate + H, *g = gate + 2 * H, *o = gate + 3 * H;
  const simd::Batch<E> one(E(1));
  simd::apply<E>(
      H, dh, [](auto a, auto b) { return a + b; }, static_cast<const E*>(dh), dy);
  simd::apply<E>(
      H, dc, [&](auto dc, auto dh, auto o, auto t) { return dc + dh * o * (one - t * t); },
      static_cast<const E*>(dc), dh, o, tanh_c);
  simd::apply<E>(
      H, d, [&](auto dc, auto i, auto g) { return dc * g * i * (one - i); }, dc, i, g);
  simd::apply<E>(
      H, d + H, [&](auto dc, auto f, auto c) { return dc * c * f * (one - f); }, dc, f, c);
  simd::apply<E>(
      H, d + 2 * H, [&](auto dc, auto i, auto g) { return dc * i * (one - g * g); }, dc, i, g);
  simd::apply<E>(
      H, d + 3 * H, [&](auto dh, auto o, auto t) { return dh * t * o * (one - o); }, dh, o, tanh_c);
  simd::apply<E>(
      H, dc, [](auto dc, auto f) { return dc * f; }, static_cast<const E*>(dc), f);
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
    Kept k{input_gates<E>(s, x.value(), W_ih.value(), b.value()), Tensor::empty(all, x.dtype()),
           Tensor::empty(all, x.dtype()), Tensor::empty(all, x.dtype())};
    Tensor y = Tensor::empty(all, x.dtype()), h = state_of<E>(s, start.h), c = state_of<E>(s, start.c);
    const Tensor W = transposed<E>(W_hh.value());  // [H, 4H]
    for (Index step = 0; step < s.T; step++) {
      const Index t = s.time(step);
      keep<E>(s, h, k.h, t);
      keep<E>(s, c, k.c, t);
      E* gates = k.gates.template data<E>() + t * width;
      gemm<E>(Trans::no, Trans::no, s.B, width, H, 1, h.data<E>(), H, W.data<E>(), width, 1, gates,
              s.T * width);
      for (Index b = 0; b < s.B; b++) {
        const Index at = (b * s.T + t) * H;
        if (s.real(b, t))
          step_forward<E>(H, gates + b * s.T * width, c.data<E>() + b * H, h.data<E>() + b * H,
                          k.tanh_c.template data<E>() + at, y.data<E>() + at);
        else
          std::fill_n(y.data<E>() + at, H, E(0));
      }
    }
    if (last) *last = {h, c};
    const Input inputs[] = {x, W_ih, W_hh, b, start.h, start.c};
    return record(kLstm, inputs, 6, y,
                  [s, k, vx = x.value(), vi = W_ih.value(), vh = W_hh.value()](const Tensor& dy, Sink& dx) {
                    const Index H = s.H, width = 4 * H;
                    Tensor d = Tensor::empty({s.B, s.T, width}, dy.dtype()),
                           dh = Tensor::zeros({s.B, H}, dy.dtype()), dc = Tensor::zeros({s.B, H}, dy.dtype()),
                           before = Tensor::empty({s.B, H}, dy.dtype());
                    for (Index step = s.T - 1; step >= 0; step--) {
                      const Index t = s.time(step);
                      E* dt = d.data<E>() + t * width;
                      for (Index b = 0; b < s.B; b++) {
                        const Index at = (b * s.T + t) * H;
                        if (s.real(b, t))
                          step_backward<E>(H, k.gates.template data<E>() + (b * s.T + t) * width,
                                           k.c.template data<E>() + at, k.tanh_c.template data<E>() + at,
                                           dy.data<E>() + at, dh.data<E>() + b * H, dc.data<E>() + b * H,
                                           dt + b * s.T * width);
                        else
                          std::fill_n(dt + b * s.T * width, width, E(0));
                      }
                      // dh of the step before = d W_hh; rows that are not real keep theirs
                      gemm<E>(Trans::no, Trans::no, s.B, H, width, 1, dt, s.T * width, vh.template data<E>(),
                              H, 0, before.data<E>(), H);
                      take_real<E>(s, t, before, dh);
                    }
                    input_gradients<E>(s, d, vx, vi, 3, dx);
                    recurrent_gradient<E>(s, d, k.h, dx);
                    dx.add(4, dh);
                    dx.add(5, dc);
                  });
  });
}

}  // namespace qkv
