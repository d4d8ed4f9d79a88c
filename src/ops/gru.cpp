#include "qkv/autograd/gradcheck.h"
#include "recurrent_scan.h"

namespace qkv {
using namespace recurrent;
namespace {

const Op kGru("gru", [](GradSuite& g) {
  auto check = [&](const char* label, Index B, Index T, RecurrentOptions o) {
    g.check(label,
            {g.normal({B, T, 3}), g.normal({6, 3}), g.normal({6, 2}), g.normal({6}), g.normal({6}),
             g.normal({B, 2})},
            [=](const std::vector<Var>& v) {
              return gru(v[0], v[1], v[2], v[3], v[4], {v[5], {}}, o);
            });
  };
  check("steps", 2, 3, {});
  check("one step", 1, 1, {});
  check("reverse", 2, 3, {true, {}});
  check("lengths", 3, 3, {false, Tensor::from({3}, std::vector<std::int32_t>{2, 3, 0})});
  check("lengths, reverse", 2, 4, {true, Tensor::from({2}, std::vector<std::int32_t>{4, 1})});
  g.check("no biases, from zero", {g.normal({2, 2, 3}), g.normal({3, 3}), g.normal({3, 1})},
          [](const std::vector<Var>& v) { return gru(v[0], v[1], v[2], Var(), Var()); });
});

// One row of one step. gate: r, z, n in place (after their functions); rec: h W_hh^T + b_hh, of which h_n is
// kept.
template <class E>
void step_forward(Index H, E* gate, const E* rec, E* h, E* y) {
  E *r = gate, *z = gate + H, *n = gate + 2 * H;
  const simd::Batch<E> one(E(1));
  simd::apply<E>(
      2 * H, r, [](auto a, auto b) { return sigmoid(a + b); }, static_cast<const E*>(r), rec);  // r and z
  simd::apply<E>(
      H, n, [](auto x, auto r, auto h) { return xsimd::tanh(x + r * h); }, static_cast<const E*>(n), r,
      rec + 2 * H);
  simd::apply<E>(
      H, h, [&](auto h, auto z, auto n) { return (one - z) * n + z * h; }, static_cast<const E*>(h), z, n);
  std::copy_n(h, H, y);
}

// d: gradients of the input gates; e: of the recurrent ones; dh comes in as that of h_t and goes out as z dh.
template <class E>
void step_backward(Index H, const E* gate, const E* h_n, const E* before, const E* dy, E* dh, E* d, E* e) {
  const E *r = gate, *z = gate + H, *n = gate + 2 * H;
  const simd::Batch<E> one(E(1));
  simd::apply<E>(
      H, dh, [](auto a, auto b) { return a + b; }, static_cast<const E*>(dh), dy);
  simd::apply<E>(
      H, d + 2 * H, [&](auto dh, auto z, auto n) { return dh * (one - z) * (one - n * n); }, dh, z, n);
  simd::apply<E>(
      H, d + H, [&](auto dh, auto z, auto n, auto h) { return dh * (h - n) * z * (one - z); }, dh, z, n,
      before);
  simd::apply<E>(
      H, d, [&](auto dn, auto r, auto h_n) { return dn * h_n * r * (one - r); }, d + 2 * H, r, h_n);
  std::copy_n(d, 2 * H, e);
  simd::apply<E>(
      H, e + 2 * H, [](auto dn, auto r) { return dn * r; }, d + 2 * H, r);
  simd::apply<E>(
      H, dh, [](auto dh, auto z) { return dh * z; }, static_cast<const E*>(dh), z);
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
    Tensor gates = input_gates<E>(s, x.value(), W_ih.value(), b_ih.value());
    const Shape all{s.B, s.T, H};
    Tensor y = Tensor::empty(all, x.dtype()), before = Tensor::empty(all, x.dtype()),
           h_n = Tensor::empty(all, x.dtype()), h = state_of<E>(s, start.h),
           rec = Tensor::empty({s.B, width}, x.dtype());
    const Tensor W = transposed<E>(W_hh.value());  // [H, 3H]
    for (Index step = 0; step < s.T; step++) {
      const Index t = s.time(step);
      keep<E>(s, h, before, t);
      if (b_hh.defined())
        for (Index b = 0; b < s.B; b++) std::copy_n(b_hh.value().data<E>(), width, rec.data<E>() + b * width);
      gemm<E>(Trans::no, Trans::no, s.B, width, H, 1, h.data<E>(), H, W.data<E>(), width,
              b_hh.defined() ? 1 : 0, rec.data<E>(), width);
      for (Index b = 0; b < s.B; b++) {
        const Index at = b * s.T + t;
        const E* own = rec.data<E>() + b * width;
        std::copy_n(own + 2 * H, H, h_n.data<E>() + at * H);
        if (s.real(b, t))
          step_forward<E>(H, gates.data<E>() + at * width, own, h.data<E>() + b * H, y.data<E>() + at * H);
        else
          std::fill_n(y.data<E>() + at * H, H, E(0));
      }
    }
    if (last) *last = {h, {}};
    const Input inputs[] = {x, W_ih, W_hh, b_ih, b_hh, start.h};
    return record(
        kGru, inputs, 6, y,
        [s, gates, before, h_n, vx = x.value(), vi = W_ih.value(), vh = W_hh.value()](const Tensor& dy,
                                                                                      Sink& dx) {
          const Index H = s.H, width = 3 * H;
          Tensor d = Tensor::empty({s.B, s.T, width}, dy.dtype()),
                 e = Tensor::empty({s.B, s.T, width}, dy.dtype()), dh = Tensor::zeros({s.B, H}, dy.dtype());
          for (Index step = s.T - 1; step >= 0; step--) {
            const Index t = s.time(step);
            for (Index b = 0; b < s.B; b++) {
              const Index at = b * s.T + t;
              E *to = d.data<E>() + at * width, *rec = e.data<E>() + at * width;
              if (s.real(b, t))
                step_backward<E>(H, gates.template data<E>() + at * width, h_n.template data<E>() + at * H,
                                 before.template data<E>() + at * H, dy.data<E>() + at * H,
                                 dh.data<E>() + b * H, to, rec);
              else
                std::fill_n(to, width, E(0)), std::fill_n(rec, width, E(0));
            }
            // dh of the step before = z dh + e W_hh; e is zero where a row is not real
            gemm<E>(Trans::no, Trans::no, s.B, H, width, 1, e.data<E>() + t * width, s.T * width,
                    vh.template data<E>(), H, 1, dh.data<E>(), H);
          }
          input_gradients<E>(s, d, vx, vi, 3, dx);
          recurrent_gradient<E>(s, e, before, dx);
          if (dx.needs(4)) {
            E* db = dx.zeroed(4).template data<E>();
            for (Index r = 0; r < s.B * s.T; r++)
              simd::apply<E>(
                  width, db, [](auto a, auto b) { return a + b; }, static_cast<const E*>(db),
                  static_cast<const E*>(e.data<E>() + r * width));
          }
          dx.add(5, dh);
        });
  });
}

}  // namespace qkv
