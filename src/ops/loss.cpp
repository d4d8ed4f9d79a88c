#include "qkv/ops/loss.h"

#include <algorithm>

#include "elementwise.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"

namespace qkv {
using namespace elementwise;
namespace {

const Op kMseLoss("mse_loss", [](GradSuite& g) {
  auto f = [](const Vars& in) {
    return mse_loss(in[0], in[1]);
  };
  auto composed = [](const Vars& in) {
    return mean(square(in[0] - in[1]));
  };
  g.check("matrix", {g.normal({3, 5}), g.normal({3, 5})}, f, composed);
  g.check("size 1", {g.normal({1}), g.normal({1})}, f, composed);
  const Tensor target = g.normal({2, 3});
  g.check("constant target", {g.normal({2, 3})}, [=](const Vars& in) { return mse_loss(in[0], target); });
});

const Op kBceWithLogits("bce_with_logits", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& shape, double scale) {
    const Tensor targets = g.uniform(shape, 0.0, 1.0);
    g.check(
        label, {g.normal(shape, scale)}, [=](const Vars& in) { return bce_with_logits(in[0], targets); },
        [=](const Vars& in) { return softplus(in[0]) - in[0] * Var(targets); });
  };
  check("matrix", {3, 5}, 1.0);
  check("size 1", {1}, 1.0);
  check("large logits", {9}, 30.0);
});

void check_pair(const char* op, const Tensor& x, const Tensor& y) {
  QKV_CHECK(x.shape() == y.shape() && x.dtype() == y.dtype(), "{}: shapes must agree; got {} {} and {} {}",
            op, x.dtype(), x.shape(), y.dtype(), y.shape());
}

constexpr Index kPiece = 4096;  // elements that are added up in T before they join a sum in f64

}  // namespace

Var mse_loss(const Var& x, const Var& y) {
  check_pair("mse_loss", x.value(), y.value());
  const Index n = x.value().size();
  QKV_CHECK(n > 0, "mse_loss: tensors must not be empty; got {}", x.shape());
  if (x.is_symbolic() || y.is_symbolic()) return Tensor::symbolic({}, x.dtype());
  Tensor loss = Tensor::empty({}, x.dtype());
  dispatch("mse_loss", x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T *px = x.value().data<T>(), *py = y.value().data<T>();
    double sum = 0.0;
    for (Index i = 0; i < n; i += kPiece)
      sum += double(simd::sum_of<T>(std::min(kPiece, n - i), px + i, py + i,
                                    [](auto a, auto b) { return (a - b) * (a - b); }));
    loss.data<T>()[0] = T(sum / double(n));
  });
  return record(kMseLoss, {x, y}, loss, [=, vx = x.value(), vy = y.value()](const Tensor& dl, Sink& dx) {
    for (int i = 0; i < 2; i++) {  // dx = 2 (x - y) / n, dy = -dx
      const double factor = (i == 0 ? 2.0 : -2.0) / double(n) * dl.item();
      add_gradient(
          dx, i, [=](auto a, auto b) { return (a - b) * lanes(a, factor); }, vx, vy);
    }
  });
}

Var bce_with_logits(const Var& logits, const Tensor& targets) {
  check_pair("bce_with_logits", logits.value(), targets);
  const Tensor& x = logits.value();
  if (targets.is_symbolic()) return Tensor::symbolic(x.shape(), x.dtype());
  Tensor loss = zip(
      [](auto v, auto y) {
        decltype(v) zero(0);
        return xsimd::max(v, zero) - v * y + xsimd::log1p(simd::exp(zero - xsimd::abs(v)));
      },
      x, targets);
  return record(kBceWithLogits, {logits}, loss, [x, targets](const Tensor& dy, Sink& dx) {
    add_gradient(
        dx, 0, [](auto g, auto v, auto y) { return g * (simd::logistic(v) - y); }, dy, x, targets);
  });
}

}  // namespace qkv
