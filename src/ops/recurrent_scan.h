// What the recurrent ops share: checks, the order of the steps, backward through time, and gradient checks
// against the equations written with separate ops.
#pragma once
#include <algorithm>

#include "autograd/trace.h"
#include "base/at.h"
#include "linear_gradient.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/recurrent.h"
#include "qkv/ops/shape_ops.h"

namespace qkv::recurrent {

// What a cell reads; b_hh, the bias of the recurrent gates, is undefined where these are added to the others.
struct Operands {
  Var x, W_ih, W_hh, b, b_hh;
};

// Shapes and order of the steps. G: gates, each of width H.
struct Scan {
  Index B, T, I, H, G;
  bool reverse;
  Tensor lengths;

  Scan(const char* op, Index gates, const Operands& in, const RecurrentState& start,
       const RecurrentOptions& o)
      : G(gates), reverse(o.reverse), lengths(o.lengths) {
    const Var &x = in.x, &W_ih = in.W_ih, &W_hh = in.W_hh, &b = in.b, &b_hh = in.b_hh;
    QKV_CHECK(x.rank() == 3, "{}: x must be [B, T, I]; got {}", op, x.shape());
    B = x.dim(0), T = x.dim(1), I = x.dim(2), H = W_hh.rank() == 2 ? W_hh.dim(1) : 0;
    QKV_CHECK(W_ih.shape() == Shape({G * H, I}) && W_hh.shape() == Shape({G * H, H}),
              "{}: W_ih and W_hh must be [{} H, {}] and [{} H, H]; got {} and {}", op, G, I, G, W_ih.shape(),
              W_hh.shape());
    QKV_CHECK(!b.defined() || b.shape() == Shape{G * H}, "{}: bias must be {}; got {}", op, Shape{G * H},
              b.shape());
    for (const Var* v : {&start.h, &start.c})
      QKV_CHECK(!v->defined() || v->shape() == Shape({B, H}), "{}: initial state must be {}; got {}", op,
                Shape({B, H}), v->shape());
    QKV_CHECK(!lengths.defined() || (lengths.shape() == Shape{B} && lengths.dtype() == Dtype::i32),
              "{}: lengths must be i32 {}; got {} {}", op, Shape{B}, lengths.dtype(), lengths.shape());
    for (const Var* v : {&W_ih, &W_hh, &b, &start.h, &start.c})
      QKV_CHECK(!v->defined() || v->dtype() == x.dtype(), "{}: dtypes must agree; got x {} and {}", op,
                x.dtype(), v->dtype());
    QKV_CHECK(!b_hh.defined() || (b_hh.shape() == Shape{G * H} && b_hh.dtype() == x.dtype()),
              "{}: b_hh must be {} {}; got {} {}", op, x.dtype(), Shape{G * H}, b_hh.dtype(), b_hh.shape());
  }

  Index step(Index i) const { return reverse ? T - 1 - i : i; }
  bool real(Index b, Index t) const { return !lengths.defined() || t < lengths.data<std::int32_t>()[b]; }

  // row(b, b T + t) for the rows that are real at step t; all [B, T, n] is zero elsewhere.
  template <class E, class Row>
  void rows(Tensor& all, Index t, Row row) const {
    const Index n = all.dim(2);
    for (Index b = 0; b < B; b++)
      if (real(b, t))
        row(b, b * T + t);
      else
        std::fill_n(all.data<E>() + (b * T + t) * n, n, E(0));
  }
};

// A copy of the state [B, H]: the given one, or zeros.
inline Tensor state_of(const Scan& s, const Var& given, Dtype dtype) {
  return given.defined() ? given.value().clone() : Tensor::zeros({s.B, s.H}, dtype);
}

// What backward needs of the steps, for each [B, T, ..]: the gates after their functions, the states before
// it, and what the cell keeps.
struct Kept {
  Tensor gates, h, c, own;
  // Copies a state [B, H] into the place of step t of all [B, T, H].
  template <class E>
  static void put(const Scan& s, const Tensor& state, Tensor& all, Index t) {
    for (Index b = 0; b < s.B; b++)
      std::copy_n(state.data<E>() + b * s.H, s.H, all.data<E>() + (b * s.T + t) * s.H);
  }
};

// Element `at` of a tensor, null where there is none.
template <class E, class AnyTensor>
auto element(AnyTensor& t, Index at) {
  return t.defined() ? t.template data<E>() + at : nullptr;
}

// The op of a cell, which says how many gates it has (kGates), whether it has a state c (kCarries), whether
// the recurrent gates stay apart from those of the input (kApart), whether it keeps anything (kKeeps); and
// one row of one step:
//   forward(H, gate, recurrent, own, h, c): gates become what they are after their functions, h and c the new
//     state; `recurrent` is null where these gates were added to the others;
//   backward(H, gate, own, h, c, dh, dc, d, e), of h and c before the step: the gradients d of the gates and,
//     where they are apart, e of the recurrent ones; dh and dc become what goes to the step before, beside
//     e W_hh.
template <class Cell>
Var run(const Op& op, const Cell& cell, const Operands& in, const RecurrentState& start,
        const RecurrentOptions& o, RecurrentState* last) {
  constexpr bool apart = Cell::kApart, carries = Cell::kCarries;
  const Scan s(op.name, Cell::kGates, in, start, o);
  const Dtype dtype = in.x.dtype();
  const Index H = s.H, width = s.G * H;
  const Shape states{s.B, s.T, H};
  if (in.x.is_symbolic()) {
    if (carries) Tensor::symbolic({s.B, s.T, 7 * H}, dtype);  // what is kept
    return Tensor::symbolic(states, dtype);
  }
  return dispatch(op.name, dtype, [&](auto zero) {
    using E = decltype(zero);
    auto some = [&](bool wanted) {
      return wanted ? Tensor::empty(states, dtype) : Tensor();
    };
    Kept k{linear(in.x.value(), in.W_ih.value(), in.b.value()).value(), some(true), some(carries),
           some(Cell::kKeeps)};
    Tensor y = s.G == 1 ? k.gates : some(true), h = state_of(s, start.h, dtype), c, recurrent;
    if (carries) c = state_of(s, start.c, dtype);
    if (apart) recurrent = Tensor::empty({s.B, width}, dtype);
    const Tensor W =
        transpose(in.W_hh.value()).value();  // [H, G H], of which each product reads rows in order
    for (Index i = 0; i < s.T; i++) {
      const Index t = s.step(i);
      Kept::put<E>(s, h, k.h, t);
      if (carries) Kept::put<E>(s, c, k.c, t);
      E* to = apart ? recurrent.data<E>() : k.gates.data<E>() + t * width;
      if (apart && in.b_hh.defined())
        gemm_bias<E>(Trans::no, Trans::no, s.B, width, H, h.data<E>(), H, W.data<E>(), width,
                     in.b_hh.value().data<E>(), to, width);
      else
        gemm<E>(Trans::no, Trans::no, s.B, width, H, 1, h.data<E>(), H, W.data<E>(), width, apart ? 0 : 1, to,
                apart ? width : s.T * width);
      s.rows<E>(y, t, [&](Index b, Index at) {
        E* state = h.data<E>() + b * H;
        cell.forward(H, k.gates.data<E>() + at * width, element<E>(recurrent, b * width),
                     element<E>(k.own, at * H), state, element<E>(c, b * H));
        std::copy_n(state, H, y.data<E>() + at * H);
      });
    }
    if (last) *last = {h, c};
    Note()("reverse", s.reverse)("lengths", s.lengths).result(h).result(c);
    const Input inputs[] = {
        in.x, in.W_ih, in.W_hh, in.b, apart ? in.b_hh : start.h, apart ? start.h : start.c};
    return record(
        op, inputs, apart || carries ? 6 : 5, y,
        [=, x = in.x.value(), W_ih = in.W_ih.value(), W_hh = in.W_hh.value()](const Tensor& dy, Sink& dx) {
          const Shape all{s.B, s.T, width};
          Tensor d = Tensor::empty(all, dtype), e = apart ? Tensor::zeros(all, dtype) : d;
          Tensor dh = Tensor::zeros({s.B, H}, dtype), dc;
          if (carries) dc = Tensor::zeros({s.B, H}, dtype);
          for (Index i = s.T - 1; i >= 0; i--) {
            const Index t = s.step(i);
            s.rows<E>(d, t, [&](Index b, Index at) {
              E* later = dh.data<E>() + b * H;
              simd::add(H, later, dy.data<E>() + at * H);
              cell.backward(H, element<E>(k.gates, at * width), element<E>(k.own, at * H),
                            element<E>(k.h, at * H), element<E>(k.c, at * H), later, element<E>(dc, b * H),
                            d.data<E>() + at * width, e.data<E>() + at * width);
            });
            gemm<E>(Trans::no, Trans::no, s.B, H, width, 1, e.data<E>() + t * width, s.T * width,
                    W_hh.template data<E>(), H, 1, dh.data<E>(), H);
          }
          linear_gradients<E>(s.B * s.T, s.I, width, d.data<E>(), x.template data<E>(),
                              W_ih.template data<E>(), dx, 0, 1, 3);
          linear_gradients<E>(s.B * s.T, H, width, e.data<E>(), k.h.template data<E>(), nullptr, dx, -1, 2,
                              apart ? 4 : -1);
          dx.add(apart ? 5 : 4, dh);
          if (carries) dx.add(5, dc);
        });
  });
}

// The definition from separate ops: {h, c} = cell.equations(in, x_t, {h, c}) step by step; rows that are not
// real give 0 and keep their state.
template <class Cell>
Var composed(const Cell& cell, const Operands& in, RecurrentState state, const RecurrentOptions& o) {
  const Index B = in.x.dim(0), T = in.x.dim(1);
  const Var zero = Tensor::zeros({B, in.W_hh.dim(1)}, in.x.dtype());
  if (!state.h.defined()) state.h = zero;
  if (!state.c.defined()) state.c = zero;
  Vars y;
  y.resize(std::size_t(T));
  for (Index i = 0; i < T; i++) {
    const Index t = o.reverse ? T - 1 - i : i;
    const RecurrentState next =
        cell.equations(in, reshape(slice(in.x, 1, t, t + 1), Shape{B, in.x.dim(2)}), state);
    Tensor real = Tensor::full({B, 1}, 1, Dtype::i32);
    for (Index b = 0; o.lengths.defined() && b < B; b++)
      real.data<std::int32_t>()[b] = t < o.lengths.data<std::int32_t>()[b];
    at(y, t) = where(real, next.h, zero);
    state = {where(real, next.h, state.h), where(real, next.c, state.c)};
  }
  return stack(y.data(), int(T), 1);
}

// Gradient checks, with biases and states, and without.
template <class Cell>
void check_cell(GradSuite& g, const Op& op, const Cell& cell) {
  auto check = [&](const char* label, Index B, Index T, bool whole, const RecurrentOptions& o) {
    const Index H = whole ? 2 : 1, width = Cell::kGates * H;
    std::vector<Tensor> inputs{g.normal({B, T, 3}), g.normal({width, 3}), g.normal({width, H})};
    if (whole)
      for (const Shape& shape : {Shape{width}, Shape{width}, Shape{B, H}, Shape{B, H}})
        inputs.push_back(g.normal(shape));
    auto operands = [=](const Vars& v) {
      return whole ? Operands{v[0], v[1], v[2], v[3], Cell::kApart ? v[4] : Var()}
                   : Operands{v[0], v[1], v[2], {}, {}};
    };
    auto start = [=](const Vars& v) {
      return whole ? RecurrentState{v[5], Cell::kCarries ? v[6] : Var()} : RecurrentState{};
    };
    g.check(
        label, inputs, [=, &op](const Vars& v) { return run(op, cell, operands(v), start(v), o, nullptr); },
        [=](const Vars& v) { return composed(cell, operands(v), start(v), o); });
  };
  check("steps", 2, 3, true, {});
  check("one step", 1, 1, true, {});
  check("reverse", 2, 3, true, {true, {}});
  check("lengths", 3, 3, true, {false, g.ints({3}, {2, 3, 0})});
  check("lengths, reverse", 2, 4, true, {true, g.ints({2}, {4, 1})});
  check("no bias, from zero", 2, 2, false, {});
}

}  // namespace qkv::recurrent
