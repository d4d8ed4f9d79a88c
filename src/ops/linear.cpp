#include "qkv/ops/linear.h"

#include <algorithm>

#include "linear_gradient.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/base/threads.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

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
    const T* w = weight + begin * in;
    if (bias)
      gemm_bias<T>(Trans::no, Trans::yes, rows, n, in, x, in, w, in, bias + begin, y + begin, out);
    else
      gemm<T>(Trans::no, Trans::yes, rows, n, in, 1, x, in, w, in, 0, y + begin, out);
  };
  if (rows > kMaxRows || out * in < kMinWeights) return columns(0, out);
  const Index block = std::max<Index>(1, kBlock / in / 16) * 16;  // rows of W: whole batches of any CPU
  pool().run(int((out + block - 1) / block),
             [&](int task, int) { columns(task * block, std::min(block, out - task * block)); });
}

}  // namespace

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
