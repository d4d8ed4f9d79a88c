// What the recurrent ops share: checks, the product with the input before the steps, those with the weights
// after them.
#pragma once
#include <algorithm>
#include <string>

#include "qkv/ops/recurrent.h"
#include "qkv/tensor/gemm.h"
#include "qkv/tensor/simd.h"

namespace qkv::recurrent {

template <class Batch>
Batch sigmoid(const Batch& x) {
  return Batch(1) / (Batch(1) + xsimd::exp(-x));
}

// Shapes and order of the steps. G: gates, each of width H.
struct Scan {
  Index B, T, I, H, G;
  bool reverse;
  Tensor lengths;

  Scan(const char* op, Index gates, const Var& x, const Var& W_ih, const Var& W_hh, const Var& b,
       const RecurrentState& start, const RecurrentOptions& o)
      : B(x.rank() == 3 ? x.dim(0) : 0),
        T(x.rank() == 3 ? x.dim(1) : 0),
        I(x.rank() == 3 ? x.dim(2) : 0),
        H(W_hh.rank() == 2 ? W_hh.dim(1) : 0),
        G(gates),
        reverse(o.reverse),
        lengths(o.lengths) {
    QKV_CHECK(x.rank() == 3, "{}: x must be [B, T, I]; got {}", op, x.shape());
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
  }

  Index time(Index step) const { return reverse ? T - 1 - step : step; }
  bool real(Index b, Index t) const { return !lengths.defined() || t < lengths.data<std::int32_t>()[b]; }
};

// x W_ih^T + b for all steps: [B, T, G H].
template <class E>
Tensor input_gates(const Scan& s, const Tensor& x, const Tensor& W_ih, const Tensor& b) {
  Tensor gates = Tensor::empty({s.B, s.T, s.G * s.H}, DtypeOf<E>::value);
  const Index rows = s.B * s.T, width = s.G * s.H;
  if (b.defined())
    for (Index r = 0; r < rows; r++) std::copy_n(b.data<E>(), width, gates.data<E>() + r * width);
  gemm<E>(Trans::no, Trans::yes, rows, width, s.I, 1, x.data<E>(), s.I, W_ih.data<E>(), s.I,
          b.defined() ? 1 : 0, gates.data<E>(), width);
  return gates;
}

// W^T: the product of every step then reads its rows in order.
template <class E>
Tensor transposed(const Tensor& W) {
  const Index rows = W.dim(0), columns = W.dim(1);
  Tensor t = Tensor::empty({columns, rows}, DtypeOf<E>::value);
  constexpr Index kTile = 16;
  for (Index r0 = 0; r0 < rows; r0 += kTile)
    for (Index c0 = 0; c0 < columns; c0 += kTile)
      for (Index r = r0; r < std::min(rows, r0 + kTile); r++)
        for (Index c = c0; c < std::min(columns, c0 + kTile); c++)
          t.data<E>()[c * rows + r] = W.data<E>()[r * columns + c];
  return t;
}

// A state [B, H] of one's own: the given one, or zeros.
template <class E>
Tensor state_of(const Scan& s, const Var& given) {
  return given.defined() ? given.value().clone() : Tensor::zeros({s.B, s.H}, DtypeOf<E>::value);
}

// Copies row b of a state [B, H] into the place of step t of all [B, T, H].
template <class E>
void keep(const Scan& s, const Tensor& state, Tensor& all, Index t) {
  for (Index b = 0; b < s.B; b++)
    std::copy_n(state.data<E>() + b * s.H, s.H, all.data<E>() + (b * s.T + t) * s.H);
}

// dst[b] = src[b] for the rows that are real at step t.
template <class E>
void take_real(const Scan& s, Index t, const Tensor& src, Tensor& dst) {
  for (Index b = 0; b < s.B; b++)
    if (s.real(b, t)) std::copy_n(src.data<E>() + b * s.H, s.H, dst.data<E>() + b * s.H);
}

// Gradients of x, W_ih and b (inputs 0, 1 and `bias`) from those of the input gates [B, T, G H].
template <class E>
void input_gradients(const Scan& s, const Tensor& dgates, const Tensor& x, const Tensor& W_ih, int bias,
                     Sink& dx) {
  const Index rows = s.B * s.T, width = s.G * s.H;
  const E* d = dgates.data<E>();
  if (dx.needs(0)) {
    Sink::Buffer to = dx.buffer(0);
    gemm<E>(Trans::no, Trans::no, rows, s.I, width, 1, d, width, W_ih.data<E>(), s.I, static_cast<E>(to.beta),
            to.gradient.data<E>(), s.I);
  }
  if (dx.needs(1)) {
    Sink::Buffer to = dx.buffer(1);
    gemm<E>(Trans::yes, Trans::no, width, s.I, rows, 1, d, width, x.data<E>(), s.I, static_cast<E>(to.beta),
            to.gradient.data<E>(), s.I);
  }
  if (dx.needs(bias)) {
    E* db = dx.zeroed(bias).data<E>();
    for (Index r = 0; r < rows; r++)
      simd::apply<E>(
          width, db, [](auto a, auto b) { return a + b; }, static_cast<const E*>(db), d + r * width);
  }
}

// Gradient of W_hh (input 2) from those of the recurrent gates [B, T, G H] and the states before each step
// [B, T, H].
template <class E>
void recurrent_gradient(const Scan& s, const Tensor& dgates, const Tensor& before, Sink& dx) {
  if (!dx.needs(2)) return;
  Sink::Buffer to = dx.buffer(2);
  gemm<E>(Trans::yes, Trans::no, s.G * s.H, s.H, s.B * s.T, 1, dgates.data<E>(), s.G * s.H, before.data<E>(),
          s.H, static_cast<E>(to.beta), to.gradient.data<E>(), s.H);
}

}  // namespace qkv::recurrent
