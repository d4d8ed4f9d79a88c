#include "qkv/ops/norm.h"

#include "tensors.h"

using namespace qkv;
using test::distance;

namespace {

std::vector<double> reference(const Tensor& x, const Tensor& gain, const Tensor& bias, double eps,
                              bool centred) {
  const Index n = gain.size();
  std::vector<double> y;
  for (Index r = 0; r < x.size() / n; r++) {
    long double mean = 0, square = 0;
    for (Index j = 0; centred && j < n; j++) mean += static_cast<long double>(x.at(r * n + j)) / n;
    for (Index j = 0; j < n; j++)
      square += std::pow(static_cast<long double>(x.at(r * n + j)) - mean, 2.0L) / n;
    for (Index j = 0; j < n; j++)
      y.push_back(static_cast<double>((static_cast<long double>(x.at(r * n + j)) - mean) /
                                      std::sqrt(square + static_cast<long double>(eps))) *
                      gain.at(j) +
                  (bias.defined() ? bias.at(j) : 0.0));
  }
  return y;
}

}  // namespace

TEST_CASE("layer_norm and rms_norm follow their definition over the last axes") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (Index d : {1, 3, 8, 50, 768}) {
      const Tensor x = test::normal({2, 3, d}, dtype, 1, 4.0), g = test::normal({d}, dtype, 2),
                   b = test::normal({d}, dtype, 3);
      const double bound = 4 * test::tolerance(dtype);
      CHECK(distance(layer_norm(x, g, b).value().to_vector(), reference(x, g, b, 1e-5, true)) <= bound);
      CHECK(distance(layer_norm(x, g).value().to_vector(), reference(x, g, {}, 1e-5, true)) <= bound);
      CHECK(distance(rms_norm(x, g).value().to_vector(), reference(x, g, {}, 1e-6, false)) <= bound);
    }
  const Tensor x = test::normal({2, 3, 4}, Dtype::f64), g = test::normal({3, 4}, Dtype::f64, 2),
               b = test::normal({3, 4}, Dtype::f64, 3);
  CHECK(distance(layer_norm(x, g, b, 1, 0.1).value().to_vector(), reference(x, g, b, 0.1, true)) <= 1e-13);
  CHECK(distance(layer_norm(x, g, b, -2, 0.1).value(), layer_norm(x, g, b, 1, 0.1).value()) == 0);
  CHECK(distance(rms_norm(x, g, 1, 0.1).value().to_vector(), reference(x, g, {}, 0.1, false)) <= 1e-13);
}

TEST_CASE("layer_norm in f32 keeps its digits when the mean is large against the deviation") {
  Tensor x = Tensor::empty({1, 512});
  for (Index j = 0; j < 512; j++)
    x.data<float>()[j] = 1e4f + static_cast<float>(j % 7) * 0.125f;  // exact in f32
  const Tensor g = Tensor::full({512}, 1.0);
  CHECK(distance(layer_norm(x, g).value().to_vector(), reference(x, g, {}, 1e-5, true)) <= 2e-5);
  CHECK(distance(layer_norm(Tensor::full({1, 512}, 1e4), g).value(), Tensor::zeros({1, 512})) <= 1e-6);
}

TEST_CASE("one parameter used as gain and as bias collects both gradients") {
  const Tensor x = test::normal({3, 5}, Dtype::f64), p = test::normal({5}, Dtype::f64, 2);
  auto gradient = [&](bool shared) {
    Tape tape;
    Var g = tape.variable(p), b = shared ? g : tape.variable(p);
    Gradients all;
    tape.backward_from(layer_norm(x, g, b), Tensor::full({3, 5}, 1.0, Dtype::f64), all);
    std::vector<double> sum = all.of(g).to_vector();
    if (!shared)
      for (std::size_t j = 0; j < sum.size(); j++) sum[j] += all.of(b).at(static_cast<Index>(j));
    return sum;
  };
  CHECK(distance(gradient(true), gradient(false)) <= 1e-14);
}

TEST_CASE("norms keep the shape of empty and symbolic tensors") {
  CHECK(layer_norm(Tensor::empty({0, 4}), Tensor::zeros({4})).shape() == Shape{0, 4});
  CHECK(layer_norm(Tensor::empty({4, 0}), Tensor::zeros({0})).shape() == Shape{4, 0});
  CHECK(rms_norm(Tensor::symbolic({3, 4}), Tensor::symbolic({4})).is_symbolic());
}

TEST_CASE("norms say what is wrong with their arguments") {
  const Tensor x = Tensor::zeros({2, 4});
  CHECK_THROWS_WITH_AS(layer_norm(x, Tensor::zeros({3})),
                       "layer_norm: gain must be f32 [4]; got f32 [3], x [2, 4]", Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, Tensor::zeros({4}), Tensor::zeros({4}, Dtype::f64)),
                       "layer_norm: bias must be f32 [4]; got f64 [4], x [2, 4]", Error);
  CHECK_THROWS_WITH_AS(rms_norm(x, Tensor::zeros({4}), 2, 1e-6),
                       "rms_norm: axis must be in [-2, 2); got 2 for x [2, 4]", Error);
  CHECK_THROWS_WITH_AS(rms_norm(x, Tensor::zeros({4}), -1.0), "rms_norm: eps must not be negative; got -1",
                       Error);
}
