#include "qkv/ops/dropout.h"

#include "qkv/autograd/gradcheck.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

Var dropout_with(const Stream& stream, const Var& x, double p);

// The row fixes the stream, so that every evaluation sees the same mask.
const Op kDropout("dropout", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& shape, double p) {
    g.check(label, {g.normal(shape)},
            [=](const Vars& in) { return dropout_with(Stream(7, "gradcheck"), in[0], p); });
  };
  check("half", {3, 5}, 0.5);
  check("few", {4, 16}, 0.1);
  check("most", {2, 9}, 0.9);
  check("size 1", {1}, 0.5);
});

// y = x m / (1 - p), m = 0 with probability p, else 1; dx = dy m / (1 - p). Reading the mask back costs less
// than drawing it again.
Var dropout_with(const Stream& stream, const Var& x, double p) {
  Tensor y = Tensor::result(x.shape(), x.value());
  if (y.is_symbolic()) return y;
  Tensor mask = Tensor::empty(x.shape(), x.dtype());
  dispatch("dropout", x.dtype(), [&](auto t) {
    using T = decltype(t);
    keep_mask(stream, 0, T(p), mask.data<T>(), std::size_t(mask.size()), T(1 / (1 - p)));
    simd::apply(mask.size(), y.data<T>(), x.value().data<T>(), mask.data<T>(),
                [](auto v, auto m) { return v * m; });
  });
  return record(kDropout, {x}, y, [mask](const Tensor& dy, Sink& dx) {
    dispatch("dropout", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      Sink::Buffer d = dx.buffer(0);
      simd::apply_beta(d.beta, dy.size(), d.gradient.data<T>(), dy.data<T>(), mask.data<T>(),
                       [](auto g, auto m) { return g * m; });
    });
  });
}

}  // namespace

Var dropout(const Var& x, double p) {
  QKV_CHECK(p >= 0 && p < 1, "dropout: p must be in [0, 1); got {}", p);
  Tape* tape = Tape::current();
  const Stream* stream = p > 0 && tape ? tape->next_stream() : nullptr;
  return stream ? dropout_with(*stream, x, p) : x;
}

}  // namespace qkv
