#include "qkv/nn/norm.h"

#include "nn/layer_check.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("Norm: layer norm and RMS norm follow their formulas") {
  for (bool rms : {false, true}) {
    ParameterStore store(1, Dtype::f64);
    const Norm f(Scope(store) / "norm", {rms ? NormType::rmsnorm : NormType::layernorm, NormPlace::pre, 1e-3},
                 4);
    const Tensor x = normal({3, 4}, Dtype::f64);
    auto check = [&] {
      const Tensor y = f(x).value();
      for (Index r = 0; r < 3; r++) {
        double mean = 0, squares = 0;
        for (Index i = 0; i < 4; i++) mean += rms ? 0 : x.at(r * 4 + i) / 4;
        for (Index i = 0; i < 4; i++) squares += std::pow(x.at(r * 4 + i) - mean, 2) / 4;
        for (Index i = 0; i < 4; i++) {
          const double bias = rms ? 0 : f.bias.value().at(i);
          const double expected =
              (x.at(r * 4 + i) - mean) / std::sqrt(squares + 1e-3) * f.weight.value().at(i) + bias;
          CHECK(y.at(r * 4 + i) == doctest::Approx(expected).epsilon(1e-12));
        }
      }
    };
    CHECK(store.size() == (rms ? 1 : 2));
    check();  // starts as weight 1, bias 0
    randomize(store);
    check();
  }
}

TEST_CASE("Norm: gradients agree with central differences") {
  for (NormType type : {NormType::layernorm, NormType::rmsnorm}) {
    ParameterStore store(1, Dtype::f64);
    const Scope root(store);
    const Norm f(root / "norm", {type, NormPlace::pre, 1e-5}, 5);
    const Parameter x = root.param("x", {2, 3, 5});
    randomize(store);
    CHECK(gradient_error(store, [&] { return f(x); }) < 1e-7);
  }
}
