#include "qkv/nn/linear.h"

#include "nn/layer_check.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("Linear computes x W^T + b over the last axis") {
  ParameterStore store(1, Dtype::f64);
  const Linear f(Scope(store) / "f", 3, 2);
  randomize(store);
  const Tensor x = normal({2, 2, 3}, Dtype::f64);
  const Tensor y = f(x).value();
  REQUIRE(y.shape() == Shape{2, 2, 2});
  for (Index r = 0; r < 4; r++)
    for (Index o = 0; o < 2; o++) {
      double expected = f.bias.value().at(o);
      for (Index i = 0; i < 3; i++) expected += x.at(r * 3 + i) * f.weight.value().at(o * 3 + i);
      CHECK(y.at(r * 2 + o) == doctest::Approx(expected).epsilon(1e-13));
    }
}

TEST_CASE("Linear: gradients of weight, bias and input agree with central differences") {
  ParameterStore store(1, Dtype::f64);
  const Scope root(store);
  const Linear f(root / "f", 3, 4);
  const Parameter x = root.param("x", {2, 3, 3});
  randomize(store);
  CHECK(gradient_error(store, [&] { return f(x); }) < 1e-7);
}

TEST_CASE("Linear without bias has one parameter; its errors name the layer") {
  ParameterStore store(1);
  const Linear f(Scope(store) / "head", 3, 2, false);
  CHECK(names(store) == std::vector<std::string>{"head.weight"});
  const std::string text = message([&] { (void)f(Tensor::zeros({1, 4})); });
  CHECK(text.find("input width must be 3") != std::string::npos);
  CHECK(text.find("(in head)") != std::string::npos);
}
