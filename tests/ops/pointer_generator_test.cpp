#include "ops/pointer_generator.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/ops/loss.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("a word is written or copied with the probability of the formula, computed by hand") {
  // s(g) = 1/4; softmax(logits) = 1/4, 3/4; softmax(scores) = 1/5, 4/5 of tokens that give 1 and 2
  const Tensor logits = Tensor::from({1, 1, 2}, std::vector<double>{0, std::log(3.0)}),
               gate = Tensor::from({1, 1, 1}, std::vector<double>{-std::log(3.0)}),
               scores = Tensor::from({1, 1, 3}, std::vector<double>{0, std::log(4.0), 7});
  const Tensor keep = ids({1, 3}, {1, 1, 0}),
               y = pointer_generator(logits, gate, scores, ids({1, 3}, {1, 2, 0}), keep, 4).value();
  CHECK(y.shape() == Shape{1, 1, 4});
  CHECK(std::exp(y.at(0)) == doctest::Approx(1.0 / 16));
  CHECK(std::exp(y.at(1)) == doctest::Approx(3.0 / 16 + 3.0 / 20));
  CHECK(std::exp(y.at(2)) == doctest::Approx(12.0 / 20));
  CHECK(y.at(3) == kNeverLog);
  // Two tokens that give the same word are added.
  const Tensor twice = pointer_generator(logits, gate, scores, ids({1, 3}, {2, 2, 0}), keep, 3).value();
  CHECK(std::exp(twice.at(2)) == doctest::Approx(0.75));
}

TEST_CASE("large scores, logits and gates give finite logarithms and gradients, in f32 too") {
  const Index B = 1, T = 4, V = 3, S = 3, W = 5;
  for (const Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const double scale : {1.0, 50.0, 1e4}) {
      Tape tape;
      const Var logits = tape.variable(normal({B, T, V}, dtype, 1, scale)),
                gate = tape.variable(normal({B, T, 1}, dtype, 2, scale)),
                scores = tape.variable(normal({B, T, S}, dtype, 3, scale));
      const Var y = pointer_generator(logits, gate, scores, ids({B, S}, {1, 3, 4}), {}, W);
      for (Index t = 0; t < T; t++) {
        double sum = 0;
        for (Index v = 0; v < W; v++) {
          CHECK(std::isfinite(y.value().at(t * W + v)));
          CHECK(y.value().at(t * W + v) > kNeverLog);
          sum += std::exp(y.value().at(t * W + v));
        }
        CHECK(sum == doctest::Approx(1).epsilon(1e-5));
      }
      const CrossEntropy loss = cross_entropy(y, ids({B, T}, {0, 1, 3, 4}));
      CHECK(std::isfinite(loss.sum.value().item()));
      const Gradients gradients = tape.backward(loss.sum);
      for (const Var& x : {logits, gate, scores})
        for (double g : gradients.of(x).to_vector()) CHECK(std::isfinite(g));
    }
}

TEST_CASE("a word that is almost never copied keeps its logarithm") {
  const Tensor logits = Tensor::zeros({1, 1, 1}),
               scores = Tensor::from({1, 1, 2}, std::vector<float>{0, -400});
  const Tensor y =
      pointer_generator(logits, Tensor::full({1, 1, 1}, 300.0), scores, ids({1, 2}, {0, 1}), {}, 2).value();
  CHECK(y.at(0) == doctest::Approx(0).epsilon(1e-6));
  CHECK(y.at(1) == doctest::Approx(-700));
}

TEST_CASE("a source that is padding throughout is not copied from") {
  const Tensor logits = normal({1, 2, 3}), scores = normal({1, 2, 2}), keep = ids({1, 2}, {0, 0});
  Tape tape;
  const Var gate = tape.variable(normal({1, 2, 1}));
  const Var y = pointer_generator(logits, gate, scores, ids({1, 2}, {0, 1}), keep, 3);
  for (double v : y.value().to_vector()) CHECK(std::isfinite(v));
  const Gradients gradients = tape.backward(cross_entropy(y, ids({1, 2}, {2, 0})).sum);
  for (double g : gradients.of(gate).to_vector()) CHECK(std::isfinite(g));
}

TEST_CASE("wrong shapes and ids are named, also where there are shapes only") {
  const Tensor logits = Tensor::zeros({1, 2, 3}), gate = Tensor::zeros({1, 2, 1}),
               scores = Tensor::zeros({1, 2, 2});
  const Tensor two = ids({1, 2}, {0, 3});
  CHECK_THROWS_WITH_AS(pointer_generator(logits, gate, scores, two, {}, 3),
                       "pointer_generator: id must be in [0, 3); got 3 at position 1", Error);
  CHECK_THROWS_WITH_AS(pointer_generator(logits, gate, scores, two, {}, 2),
                       doctest::Contains("and W at least V; got logits [1, 2, 3]"), Error);
  CHECK_THROWS_WITH_AS(pointer_generator(logits, gate, scores, ids({2}, {0, 3}), {}, 4),
                       doctest::Contains("ids and keep must be i32 [1, 2]; got i32 [2]"), Error);
  const Var shapes = Tensor::symbolic({4, 7, 30});
  CHECK(pointer_generator(shapes, Tensor::symbolic({4, 7, 1}), Tensor::symbolic({4, 7, 5}),
                          Tensor::symbolic({4, 5}, Dtype::i32), {}, 35)
            .shape() == Shape{4, 7, 35});
  CHECK_THROWS_WITH_AS(pointer_generator(shapes, Tensor::symbolic({4, 7, 2}), Tensor::symbolic({4, 7, 5}),
                                         Tensor::symbolic({4, 5}, Dtype::i32), {}, 35),
                       doctest::Contains("gate [4, 7, 2]"), Error);
}
