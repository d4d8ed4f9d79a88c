#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("mix weighs the columns of x that y stands for, and leaves the others as they are") {
  const Tensor x = Tensor::from<double>({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}),
               y = Tensor::from<double>({2, 2}, {10, 20, 30, 40}), ab = Tensor::from<double>({2}, {3, 0.5});
  CHECK(mix(x, y, ab, 1).value().to_vector() == std::vector<double>{1, 11, 19, 4, 5, 33, 41, 8});
  CHECK(mix(x, y, ab, 2).value().to_vector() == std::vector<double>{1, 2, 14, 22, 5, 6, 36, 44});
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {  // with (1, 0) it is x, to the bit
    const Tensor wide = normal({3, 37}, dtype, 1), other = normal({3, 37}, dtype, 2),
                 one = Tensor::from<double>({2}, {1, 0}).to(dtype);
    CHECK(same_bits(mix(wide, other, one).value(), wide));
  }
}

TEST_CASE("the gradient of a weight of mix is right where f32 sums would lose it") {
  constexpr Index kRows = 4096, kWidth = 64;
  const Tensor x = Tensor::full({kRows, kWidth}, 1000.5), y = Tensor::full({kRows, kWidth}, -0.25),
               ab = Tensor::from<float>({2}, {1.0f, 1.0f});
  Tape tape;
  const Var weights = tape.variable(ab);
  const Tensor d = tape.backward(sum(mix(x, y, weights))).of(weights);
  CHECK(d.at(0) == doctest::Approx(1000.5 * kRows * kWidth).epsilon(1e-7));
  CHECK(d.at(1) == doctest::Approx(-0.25 * kRows * kWidth).epsilon(1e-7));
}

TEST_CASE("mix passes symbolic tensors through and refuses what does not fit") {
  const Tensor ab = Tensor::symbolic({2});
  CHECK(mix(Tensor::symbolic({2, 3, 9}), Tensor::symbolic({2, 3, 4}), ab, 5).shape() == Shape{2, 3, 9});
  CHECK_THROWS_WITH_AS(mix(Tensor::symbolic({2, 3, 9}), Tensor::symbolic({2, 3, 4}), ab, 6),
                       "mix: y must have the rows of x, and fit into its columns from 6 on; got x f32 [2, 3, "
                       "9], y f32 [2, 3, 4]",
                       Error);
  CHECK_THROWS_WITH_AS(mix(Tensor::zeros({3, 2}), Tensor::zeros({2, 2}), Tensor::zeros({2})),
                       doctest::Contains("mix: y must have the rows of x"), Error);
  CHECK_THROWS_WITH_AS(mix(Tensor::zeros({3, 2}), Tensor::zeros({3, 2}), Tensor::zeros({3})),
                       "mix: weights must be f32 [2]; got f32 [3]", Error);
}
