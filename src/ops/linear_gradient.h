// The gradients of an affine map of rows, which linear and the recurrent ops share.
#pragma once
#include "qkv/autograd/tape.h"
#include "tensor/gemm.h"
#include "tensor/rows.h"

namespace qkv {

/// Of y = x W^T + b with x [rows, in] and W [out, in]: dX = dY W, dW = dY^T X, db = the column sums of dY.
/// `ix`, `iW` and `ib` number x, W and b among the inputs of the op; -1: there is none.
template <class T>
void linear_gradients(Index rows, Index in, Index out, const T* dy, const T* x, const T* W, Sink& dx, int ix,
                      int iW, int ib) {
  if (ix >= 0 && dx.needs(ix)) {
    Sink::Buffer d = dx.buffer(ix);
    gemm<T>(Trans::no, Trans::no, rows, in, out, 1, dy, out, W, in, T(d.beta), d.gradient.data<T>(), in);
  }
  if (dx.needs(iW)) {
    Sink::Buffer d = dx.buffer(iW);
    gemm<T>(Trans::yes, Trans::no, out, in, rows, 1, dy, out, x, in, T(d.beta), d.gradient.data<T>(), in);
  }
  if (ib >= 0 && dx.needs(ib)) {
    Tensor d = dx.zeroed(ib);
    for (Index r = 0; r < rows; r++) simd::add(out, d.data<T>(), dy + r * out);
  }
}

}  // namespace qkv
