#include "qkv/autograd/gradcheck.h"
#include "recurrent_scan.h"

namespace qkv {
using namespace recurrent;
namespace {

const Op kRnn("rnn", [](GradSuite& g) {
  auto check = [&](const char* label, Index B, Index T, RecurrentOptions o, bool relu) {
    g.check(label, {g.normal({B, T, 3}), g.normal({2, 3}), g.normal({2, 2}), g.normal({2}), g.normal({B, 2})},
            [=](const std::vector<Var>& v) {
              return rnn(v[0], v[1], v[2], v[3], {v[4], {}}, o, nullptr, relu);
            });
  };
  check("tanh", 2, 3, {}, false);
  check("relu", 2, 3, {}, true);
  check("one step", 1, 1, {}, false);
  check("reverse", 2, 3, {true, {}}, false);
  check("lengths", 3, 3, {false, Tensor::from({3}, std::vector<std::int32_t>{2, 3, 0})}, false);
  g.check("no bias, from zero", {g.normal({2, 2, 3}), g.normal({1, 3}), g.normal({1, 1})},
          [](const std::vector<Var>& v) { return rnn(v[0], v[1], v[2], Var()); });
});

}  // namespace

Var rnn(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
        const RecurrentOptions& o, RecurrentState* last, bool relu) {
  const Scan s("rnn", 1, x, W_ih, W_hh, b, start, o);
  if (x.is_symbolic()) return Tensor::symbolic({s.B, s.T, s.H}, x.dtype());
  return dispatch("rnn", x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const Index H = s.H;
    Tensor y = input_gates<E>(s, x.value(), W_ih.value(), b.value());  // becomes f(..) in place
    Tensor before = Tensor::empty({s.B, s.T, H}, x.dtype()), h = state_of<E>(s, start.h);
    const Tensor W = transposed<E>(W_hh.value());
    for (Index step = 0; step < s.T; step++) {
      const Index t = s.time(step);
      keep<E>(s, h, before, t);
      E* gates = y.data<E>() + t * H;
      gemm<E>(Trans::no, Trans::no, s.B, H, H, 1, h.data<E>(), H, W.data<E>(), H, 1, gates, s.T * H);
      for (Index b = 0; b < s.B; b++) {
        E* row = gates + b * s.T * H;
        if (!s.real(b, t)) {
          std::fill_n(row, H, E(0));
          continue;
        }
        const simd::Batch<E> nothing(E(0));
        if (relu)
          simd::apply<E>(
              H, row, [&](auto v) { return xsimd::max(v, nothing); }, static_cast<const E*>(row));
        else
          simd::apply<E>(
              H, row, [](auto v) { return xsimd::tanh(v); }, static_cast<const E*>(row));
        std::copy_n(row, H, h.data<E>() + b * H);
      }
    }
    if (last) *last = {h, {}};
    const Input inputs[] = {x, W_ih, W_hh, b, start.h};
    return record(
        kRnn, inputs, 5, y,
        [s, y, before, relu, vx = x.value(), vi = W_ih.value(), vh = W_hh.value()](const Tensor& dy,
                                                                                   Sink& dx) {
          const Index H = s.H;
          Tensor d = Tensor::empty({s.B, s.T, H}, dy.dtype()), dh = Tensor::zeros({s.B, H}, dy.dtype()),
                 next = Tensor::empty({s.B, H}, dy.dtype());
          for (Index step = s.T - 1; step >= 0; step--) {
            const Index t = s.time(step);
            E* dt = d.data<E>() + t * H;
            for (Index b = 0; b < s.B; b++) {
              const Index at = (b * s.T + t) * H;
              E* row = dt + b * s.T * H;
              if (!s.real(b, t)) {
                std::fill_n(row, H, E(0));
                continue;
              }
              const simd::Batch<E> one(E(1)), nothing(E(0));
              const E *own = y.template data<E>() + at, *later = dh.data<E>() + b * H,
                      *up = dy.data<E>() + at;
              if (relu)
                simd::apply<E>(
                    H, row,
                    [&](auto y, auto a, auto b) { return xsimd::select(y > nothing, a + b, nothing); }, own,
                    later, up);
              else
                simd::apply<E>(
                    H, row, [&](auto y, auto a, auto b) { return (a + b) * (one - y * y); }, own, later, up);
            }
            gemm<E>(Trans::no, Trans::no, s.B, H, H, 1, dt, s.T * H, vh.template data<E>(), H, 0,
                    next.data<E>(), H);
            take_real<E>(s, t, next, dh);
          }
          input_gradients<E>(s, d, vx, vi, 3, dx);
          recurrent_gradient<E>(s, d, before, dx);
          dx.add(4, dh);
        });
  });
}

}  // namespace qkv
