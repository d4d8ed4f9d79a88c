#include "qkv/ops/loss.h"

#include "tensors.h"

using namespace qkv;
using test::distance;

TEST_CASE("mse_loss is the mean of the squared differences") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor x = test::normal({9, 1111}, dtype, 1), y = test::normal({9, 1111}, dtype, 2);
    double sum = 0;
    for (Index i = 0; i < x.size(); i++) sum += (x.at(i) - y.at(i)) * (x.at(i) - y.at(i));
    CHECK(distance({mse_loss(x, y).value().item()}, {sum / 9999}) <= test::tolerance(dtype));
  }
  CHECK(mse_loss(Tensor::symbolic({2}), Tensor::symbolic({2})).is_symbolic());
}

TEST_CASE("bce_with_logits follows its definition and stays finite for large logits") {
  const Tensor x = test::normal({35}, Dtype::f64, 3, 2.0);
  Tensor y = Tensor::empty({35}, Dtype::f64);
  Stream labels(1, "bce");
  for (Index i = 0; i < 35; i++) y.data<double>()[i] = labels.uniform64();
  std::vector<double> expected;
  for (Index i = 0; i < 35; i++) {
    const double s = 1 / (1 + std::exp(-x.at(i)));
    expected.push_back(-y.at(i) * std::log(s) - (1 - y.at(i)) * std::log(1 - s));
  }
  CHECK(distance(bce_with_logits(x, y).value().to_vector(), expected) <= 1e-13);
  const Tensor large = Tensor::from<float>({4}, {1e4f, -1e4f, 1e4f, -1e4f});
  CHECK(distance(bce_with_logits(large, Tensor::from<float>({4}, {1, 0, 0, 1})).value().to_vector(),
                 {0, 0, 1e4, 1e4}) == 0);
  Tape tape;
  Var v = tape.variable(large);
  Gradients all;
  tape.backward_from(bce_with_logits(v, Tensor::from<float>({4}, {1, 0, 0, 1})), Tensor::full({4}, 2.0), all);
  CHECK(distance(all.of(v).to_vector(), {0, 0, 2, -2}) <= 1e-6);
}

TEST_CASE("losses say when their shapes differ") {
  CHECK_THROWS_WITH_AS(mse_loss(Tensor::zeros({2}), Tensor::zeros({3})),
                       "mse_loss: shapes must agree; got f32 [2] and f32 [3]", Error);
  CHECK_THROWS_WITH_AS(bce_with_logits(Tensor::zeros({2}), Tensor::zeros({2}, Dtype::f64)),
                       "bce_with_logits: shapes must agree; got f32 [2] and f64 [2]", Error);
  CHECK_THROWS_WITH_AS(mse_loss(Tensor::zeros({0}), Tensor::zeros({0})),
                       "mse_loss: tensors must not be empty; got [0]", Error);
}
