// What the recurrent ops share: checks, the order of the steps, and their definition from separate ops.
#pragma once
#include <algorithm>

#include "base/at.h"
#include "linear_gradient.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/linear.h"
#include "qkv/ops/recurrent.h"
#include "qkv/ops/shape_ops.h"

namespace qkv::recurrent {

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

  bool real(Index b, Index t) const { return !lengths.defined() || t < lengths.data<std::int32_t>()[b]; }

  // Step by step: product(t), then row(b, b T + t) for the rows that are real at step t; all [B, T, n] is
  // zero elsewhere.
  template <class E, class Product, class Row>
  void forward(Tensor& all, Product product, Row row) const {
    for (Index i = 0; i < T; i++) {
      const Index t = reverse ? T - 1 - i : i;
      product(t);
      rows<E>(all, t, row);
    }
  }
  // The same from the last step to the first, the products after the rows.
  template <class E, class Row, class Product>
  void backward(Tensor& all, Row row, Product product) const {
    for (Index i = T - 1; i >= 0; i--) {
      const Index t = reverse ? T - 1 - i : i;
      rows<E>(all, t, row);
      product(t);
    }
  }

 private:
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

// x W^T + b for all steps: [B, T, G H].
inline Tensor input_gates(const Var& x, const Var& W, const Var& b) {
  return linear(x.value(), W.value(), b.value()).value();
}

// W^T: the product of every step then reads its rows in order.
inline Tensor transposed(const Var& W) {
  return transpose(W.value()).value();
}

// A copy of the state [B, H]: the given one, or zeros.
inline Tensor state_of(const Scan& s, const Var& given, Dtype dtype) {
  return given.defined() ? given.value().clone() : Tensor::zeros({s.B, s.H}, dtype);
}

// Copies a state [B, H] into the place of step t of all [B, T, H].
template <class E>
void keep(const Scan& s, const Tensor& state, Tensor& all, Index t) {
  for (Index b = 0; b < s.B; b++)
    std::copy_n(state.data<E>() + b * s.H, s.H, all.data<E>() + (b * s.T + t) * s.H);
}

// What backward needs of the inputs, and the states before each step [B, T, H].
struct Operands {
  Tensor x, W_ih, W_hh, before;
};

// Backward through time. row(b, b T + t) gives the gradients d of the input gates and e of the recurrent
// ones, both [B, T, G H], from dh [B, H], where it leaves what goes to the step before beside e W_hh. The
// inputs of the op are x, W_ih, W_hh, b, and maybe at `b_hh` a bias of the recurrent gates.
template <class E, class Row>
void back_through_time(const Scan& s, const Operands& in, Tensor& d, Tensor& e, Tensor& dh, Sink& dx,
                       int b_hh, Row row) {
  const Index H = s.H, width = s.G * H;
  s.backward<E>(d, row, [&](Index t) {
    gemm<E>(Trans::no, Trans::no, s.B, H, width, 1, e.data<E>() + t * width, s.T * width, in.W_hh.data<E>(),
            H, 1, dh.data<E>(), H);
  });
  linear_gradients<E>(s.B * s.T, s.I, width, d.data<E>(), in.x.data<E>(), in.W_ih.data<E>(), dx, 0, 1, 3);
  linear_gradients<E>(s.B * s.T, H, width, e.data<E>(), in.before.data<E>(), nullptr, dx, -1, 2, b_hh);
}

// The definition from separate ops: {h, c} = cell(x_t, {h, c}) step by step; rows that are not real give 0
// and keep their state.
template <class Cell>
Var composed(const Var& x, RecurrentState state, const RecurrentOptions& o, Index H, Cell cell) {
  const Index B = x.dim(0), T = x.dim(1);
  const Var zero = Tensor::zeros({B, H}, x.dtype());
  if (!state.h.defined()) state.h = zero;
  if (!state.c.defined()) state.c = zero;
  std::vector<Var> y;
  y.resize(std::size_t(T));
  for (Index i = 0; i < T; i++) {
    const Index t = o.reverse ? T - 1 - i : i;
    const RecurrentState next = cell(reshape(slice(x, 1, t, t + 1), Shape{B, x.dim(2)}), state);
    Tensor real = Tensor::full({B, 1}, 1, Dtype::i32);
    for (Index b = 0; o.lengths.defined() && b < B; b++)
      real.data<std::int32_t>()[b] = t < o.lengths.data<std::int32_t>()[b];
    at(y, t) = where(real, next.h, zero);
    state = {where(real, next.h, state.h), where(real, next.c, state.c)};
  }
  return stack(y.data(), int(T), 1);
}

}  // namespace qkv::recurrent
