#include "qkv/ops/matmul.h"

#include <algorithm>

#include "linear_gradient.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/base/threads.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

const Op kMatmul("matmul", [](GradSuite& g) {
  auto f = [](const Vars& in) {
    return matmul(in[0], in[1]);
  };
  g.check("2-D", {g.normal({3, 4}), g.normal({4, 2})}, f);
  g.check("batched", {g.normal({2, 3, 4}), g.normal({2, 4, 2})}, f);
  g.check("shared right side", {g.normal({2, 3, 4}), g.normal({4, 2})}, f);
  g.check("broadcast", {g.normal({2, 1, 3, 2}), g.normal({3, 2, 2})}, f);
  g.check("vectors", {g.normal({4}), g.normal({4})}, f);
  g.check("matrix vector", {g.normal({2, 3, 4}), g.normal({4})}, f);
  g.check("vector matrix", {g.normal({4}), g.normal({2, 4, 3})}, f);
  g.check("size 1", {g.normal({1, 1}), g.normal({1, 1})}, f);
});

// The matrices of a product, with broadcast leading axes.
struct BatchedProduct {
  Index m, n, k;
  Shape a, b, batch, y;  // a and b with at least two axes

  BatchedProduct(const Shape& shape_a, const Shape& shape_b) : a(shape_a), b(shape_b) {
    QKV_CHECK(shape_a.rank() >= 1 && shape_b.rank() >= 1,
              "matmul: operands must not be scalars; got a {} x b {}", shape_a, shape_b);
    if (shape_a.rank() == 1) a = Shape{1, shape_a[0]};
    if (shape_b.rank() == 1) b = Shape{shape_b[0], 1};
    m = a[-2], k = a[-1], n = b[-1];
    QKV_CHECK(b[-2] == k, "matmul: inner sizes must agree; got a {} x b {}", shape_a, shape_b);
    batch = broadcast("matmul", Shape(a.begin(), a.rank() - 2), Shape(b.begin(), b.rank() - 2));
    y = batch;
    if (shape_a.rank() > 1) y.push_back(m);
    if (shape_b.rank() > 1) y.push_back(n);
  }

  // Which matrix of an operand with these leading axes belongs to matrix `i` of the result.
  Index matrix(const Shape& operand, Index i) const {
    if (one_product()) return 0;
    Index index = 0, stride = 1;
    for (int axis = batch.rank() - 1; axis >= 0; axis--) {
      int own = axis - (batch.rank() - (operand.rank() - 2));
      Index position = i % batch[axis];
      i /= batch[axis];
      if (own < 0) continue;
      index += operand[own] == 1 ? 0 : position * stride;
      stride *= operand[own];
    }
    return index;
  }
  // [.., m, k] x [k, n] is one product of [.. * m, k].
  bool one_product() const { return b.rank() == 2; }
};

const Op kLinear("linear", [](GradSuite& g) {
  auto f = [](const Vars& in) {
    return linear(in[0], in[1], in.size() > 2 ? in[2] : Var());
  };
  auto composed = [](const Vars& in) {
    const Var y = matmul(in[0], transpose(in[1]));
    return in.size() > 2 ? y + in[2] : y;
  };
  g.check("bias", {g.normal({3, 4}), g.normal({2, 4}), g.normal({2})}, f, composed);
  g.check("no bias", {g.normal({2, 3, 4}), g.normal({5, 4})}, f, composed);
  g.check("one row", {g.normal({4}), g.normal({2, 4}), g.normal({2})}, f, composed);
  g.check("size 1", {g.normal({1, 1}), g.normal({1, 1}), g.normal({1})}, f, composed);
});

// y = x W^T + b. With few rows of x, as in decoding, the time is that of reading W: fixed blocks of its
// rows go over the pool, and as each result is of one block, the bits do not depend on the number of threads.
// A worker gets the same blocks for every token, so that its part of a small model stays in its cache: that
// is worth the waking of the pool (about 1 us) from some 10,000 weights on.
template <class T>
void product(Index rows, Index out, Index in, const T* x, const T* weight, const T* bias, T* y) {
  constexpr Index kMaxRows = 8, kBlock = 8 * 1024, kMinWeights = 2 * kBlock;  // elements of W
  auto columns = [&](Index begin, Index n) {
    gemm_bias<T>(Trans::no, Trans::yes, rows, n, in, x, in, weight + begin * in, in,
                 bias ? bias + begin : nullptr, y + begin, out);
  };
  if (rows > kMaxRows || out * in < kMinWeights) return columns(0, out);
  const Index block = std::max<Index>(1, kBlock / in / 32) * 32;  // rows of W: whole panels of bf16
  pool().run(int((out + block - 1) / block),
             [&](int task, int) { columns(task * block, std::min(block, out - task * block)); });
}

}  // namespace

Var matmul(const Var& a, const Var& b) {
  const BatchedProduct plan(a.shape(), b.shape());
  QKV_CHECK(a.dtype() == b.dtype(), "matmul: dtypes must agree; got a {} x b {}", a.dtype(), b.dtype());
  if (a.is_symbolic() || b.is_symbolic()) return Tensor::symbolic(plan.y, a.dtype());
  const Index batches = plan.one_product() ? 1 : plan.batch.size();
  const Index m = plan.one_product() ? plan.batch.size() * plan.m : plan.m, n = plan.n, k = plan.k;
  return dispatch("matmul", a.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::empty(plan.y, a.dtype());
    for (Index i = 0; i < batches; i++)
      gemm<T>(Trans::no, Trans::no, m, n, k, 1, a.value().data<T>() + plan.matrix(plan.a, i) * m * k, k,
              b.value().data<T>() + plan.matrix(plan.b, i) * k * n, n, 0, y.data<T>() + i * m * n, n);
    return record(kMatmul, {a, b}, y, [=, va = a.value(), vb = b.value()](const Tensor& dy, Sink& dx) {
      // dA = dY B^T, dB = A^T dY; operands that were broadcast collect from several products.
      if (dx.needs(0)) {
        bool shared = plan.a.size_of(0, plan.a.rank() - 2) != plan.batch.size();
        Sink::Buffer da = shared ? Sink::Buffer{dx.zeroed(0), 1.0} : dx.buffer(0);
        for (Index i = 0; i < batches; i++)
          gemm<T>(Trans::no, Trans::yes, m, k, n, 1, dy.data<T>() + i * m * n, n,
                  vb.template data<T>() + plan.matrix(plan.b, i) * k * n, n, T(da.beta),
                  da.gradient.data<T>() + plan.matrix(plan.a, i) * m * k, k);
      }
      if (dx.needs(1)) {
        bool shared = plan.b.size_of(0, plan.b.rank() - 2) != batches;
        Sink::Buffer db = shared ? Sink::Buffer{dx.zeroed(1), 1.0} : dx.buffer(1);
        for (Index i = 0; i < batches; i++)
          gemm<T>(Trans::yes, Trans::no, k, n, m, 1, va.template data<T>() + plan.matrix(plan.a, i) * m * k,
                  k, dy.data<T>() + i * m * n, n, T(db.beta),
                  db.gradient.data<T>() + plan.matrix(plan.b, i) * k * n, n);
      }
    });
  });
}

Var linear(const Var& x, const Var& weight, const Var& bias) {
  QKV_CHECK(weight.rank() == 2 && x.rank() >= 1, "linear: weight must be [out, in]; got x {}, weight {}",
            x.shape(), weight.shape());
  const Index in = weight.dim(1), out = weight.dim(0);
  QKV_CHECK(x.dim(-1) == in, "linear: input width must be {}; got x {}, weight {}", in, x.shape(),
            weight.shape());
  QKV_CHECK(x.dtype() == weight.dtype(), "linear: dtypes must agree; got x {}, weight {}", x.dtype(),
            weight.dtype());
  QKV_CHECK(!bias.defined() || bias.shape() == Shape{out}, "linear: bias must be {}; got {}", Shape{out},
            bias.shape());
  Shape shape = x.shape();
  shape.set(-1, out);
  const Index rows = x.shape().size_of(0, x.rank() - 1);
  Tensor y = Tensor::result(shape, x.value());
  if (!y.is_symbolic())
    dispatch("linear", x.dtype(), [&](auto t) {
      using T = decltype(t);
      product<T>(rows, out, in, x.value().data<T>(), weight.value().data<T>(),
                 bias.defined() ? bias.value().data<T>() : nullptr, y.data<T>());
    });
  const Input inputs[] = {x, weight, bias};
  const int count = bias.defined() ? 3 : 2;
  if (!recording(inputs, count)) return y;
  return record(
      kLinear, inputs, count, y,
      [=, vx = x.value(), vw = weight.value(), biased = bias.defined()](const Tensor& dy, Sink& dx) {
        dispatch("linear", dy.dtype(), [&](auto t) {
          using T = decltype(t);
          linear_gradients<T>(rows, in, out, dy.data<T>(), vx.template data<T>(), vw.template data<T>(), dx,
                              0, 1, biased ? 2 : -1);
        });
      });
}

}  // namespace qkv
