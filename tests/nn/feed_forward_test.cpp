#include "qkv/nn/linear.h"

#include "nn/layer_check.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"

using namespace qkv;
using namespace qkv::test;

namespace {

double apply(Activation activation, double v, double gate) {
  if (activation == Activation::relu) return std::max(v, 0.0);
  if (activation == Activation::relu2) return v > 0 ? v * v : 0.0;
  if (activation == Activation::silu) return v / (1 + std::exp(-v));
  if (activation == Activation::swiglu) return gate / (1 + std::exp(-gate)) * v;
  if (activation == Activation::gelu_erf) return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
  return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
}

}  // namespace

TEST_CASE("FeedForward is down(f(up(x))) for every activation, with gradients of all parameters") {
  for (Activation activation : {Activation::gelu, Activation::gelu_erf, Activation::relu, Activation::relu2,
                                Activation::silu, Activation::swiglu}) {
    CAPTURE(text_of(activation));
    ParameterStore store(1, Dtype::f64);
    const Scope root(store);
    const FeedForward f(root / "ffn", {6, activation, 0.0}, 4);
    const Parameter x = root.param("x", {3, 4});
    randomize(store);
    CHECK(store.size() == (f.gate ? 7 : 5));
    const Tensor up = f.up(x).value(), gate = f.gate ? (*f.gate)(x).value() : up;
    Tensor h = Tensor::empty(up.shape(), Dtype::f64);
    for (Index i = 0; i < h.size(); i++) h.data<double>()[i] = apply(activation, up.at(i), gate.at(i));
    const Tensor expected = (matmul(h, transpose(f.down.weight.var())) + f.down.bias).value();
    CHECK(distance(f(x).value(), expected) < 1e-12);
    CHECK(gradient_error(store, [&] { return f(x); }) < 1e-6);
  }
}

TEST_CASE("FeedForward without biases is the same with biases of 0") {
  for (Activation activation : {Activation::gelu, Activation::swiglu}) {
    ParameterStore plain(1, Dtype::f64), with(1, Dtype::f64);
    const FeedForward f(Scope(plain) / "ffn", {6, activation, 0.0, false}, 4),
        g(Scope(with) / "ffn", {6, activation, 0.0}, 4);
    CHECK(plain.size() == (f.gate ? 3 : 2));
    const Var x = normal({3, 4}, Dtype::f64);
    CHECK(distance(f(x).value(), g(x).value()) == 0);
  }
}

TEST_CASE("FeedForward drops hidden units only on a tape with randomness") {
  ParameterStore store(1);
  const FeedForward f(Scope(store) / "ffn", {32, Activation::relu, 0.5}, 4);
  const Tensor x = normal({2, 4}, Dtype::f32);
  const Tensor quiet = f(x).value();
  {
    Tape tape;
    CHECK(distance(f(x).value(), quiet) == 0);
  }
  Tape tape(Stream(1, "dropout"));
  CHECK(distance(f(x).value(), quiet) > 1e-3);
}
