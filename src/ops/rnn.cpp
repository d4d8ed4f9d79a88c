#include "composed.h"
#include "recurrent_scan.h"

namespace qkv {
using namespace recurrent;

Var rnn_composed(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
                 const RecurrentOptions& o, bool use_relu) {
  return composed(x, start, o, W_hh.dim(1), [&](const Var& x_t, const RecurrentState& s) {
    const Var sum = linear(x_t, W_ih, b) + linear(s.h, W_hh);
    return RecurrentState{use_relu ? relu(sum) : tanh(sum), s.c};
  });
}

namespace {

const Op kRnn("rnn", [](GradSuite& g) {
  auto check = [&](const char* label, Index B, Index T, RecurrentOptions o, bool relu) {
    g.check(
        label, {g.normal({B, T, 3}), g.normal({2, 3}), g.normal({2, 2}), g.normal({2}), g.normal({B, 2})},
        [=](const Vars& v) {
          return rnn(v[0], v[1], v[2], v[3], {v[4], {}}, o, nullptr, relu);
        },
        [=](const Vars& v) {
          return rnn_composed(v[0], v[1], v[2], v[3], {v[4], {}}, o, relu);
        });
  };
  check("tanh", 2, 3, {}, false);
  check("relu", 2, 3, {}, true);
  check("one step", 1, 1, {}, false);
  check("reverse", 2, 3, {true, {}}, false);
  check("lengths", 3, 3, {false, g.ints({3}, {2, 3, 0})}, false);
  g.check("no bias, from zero", {g.normal({2, 2, 3}), g.normal({1, 3}), g.normal({1, 1})},
          [](const Vars& v) { return rnn(v[0], v[1], v[2], Var()); });
});

}  // namespace

Var rnn(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
        const RecurrentOptions& o, RecurrentState* last, bool relu) {
  const Scan s("rnn", 1, x, W_ih, W_hh, b, start, o);
  if (x.is_symbolic()) return Tensor::symbolic({s.B, s.T, s.H}, x.dtype());
  return dispatch("rnn", x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const Index H = s.H;
    Tensor y = input_gates(x, W_ih, b);  // becomes f(..) in place
    Tensor before = Tensor::empty({s.B, s.T, H}, x.dtype()), h = state_of(s, start.h, x.dtype());
    const Tensor W = transposed(W_hh);
    s.forward<E>(
        y,
        [&](Index t) {
          keep<E>(s, h, before, t);
          gemm<E>(Trans::no, Trans::no, s.B, H, H, 1, h.data<E>(), H, W.data<E>(), H, 1, y.data<E>() + t * H,
                  s.T * H);
        },
        [&](Index b, Index at) {
          E* row = y.data<E>() + at * H;
          if (relu)
            simd::apply(H, row, [](auto v) { return xsimd::max(v, decltype(v)(E(0))); });
          else
            simd::apply(H, row, [](auto v) { return simd::tanh(v); });
          std::copy_n(row, H, h.data<E>() + b * H);
        });
    if (last) *last = {h, {}};
    const Input inputs[] = {x, W_ih, W_hh, b, start.h};
    const Operands operands{x.value(), W_ih.value(), W_hh.value(), before};
    return record(kRnn, inputs, 5, y, [=](const Tensor& dy, Sink& dx) {
      Tensor d = Tensor::empty({s.B, s.T, s.H}, dy.dtype()), dh = Tensor::zeros({s.B, s.H}, dy.dtype());
      back_through_time<E>(s, operands, d, d, dh, dx, -1, [&](Index b, Index at) {
        const Index H = s.H;
        const E *own = y.template data<E>() + at * H, *up = dy.data<E>() + at * H;
        E* later = dh.data<E>() + b * H;
        const simd::Batch<E> one(E(1)), nothing(E(0));
        simd::apply(H, d.data<E>() + at * H, own, later, up, [&](auto y, auto a, auto b) {
          return relu ? xsimd::select(y > nothing, a + b, nothing) : (a + b) * (one - y * y);
        });
        std::fill_n(later, H, E(0));
      });
      dx.add(4, dh);
    });
  });
}

}  // namespace qkv
