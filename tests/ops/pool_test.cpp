#include "qkv/ops/embedding.h"

#include "tensors.h"

using namespace qkv;
using test::distance;

TEST_CASE("masked_mean averages the kept tokens of each sequence") {
  const Tensor x = Tensor::from<double>({2, 3, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  CHECK(distance(masked_mean(x, test::ids({2, 3}, {1, 0, 1, 0, 0, 0})).value().to_vector(), {3, 4, 0, 0}) ==
        0);
  const Tensor wide = test::normal({1, 4, 21}, Dtype::f32);
  std::vector<double> expected;
  for (Index j = 0; j < 21; j++)
    expected.push_back((wide.at(21 + j) + wide.at(42 + j) + wide.at(63 + j)) / 3);
  CHECK(distance(masked_mean(wide, test::ids({1, 4}, {0, 1, 1, 1})).value().to_vector(), expected) <= 1e-6);
}

TEST_CASE("what padding holds does not matter, not even NaN") {
  Tensor x = test::normal({1, 2, 3}, Dtype::f64);
  for (Index j = 3; j < 6; j++) x.data<double>()[j] = NAN;
  Tape tape;
  Var v = tape.variable(x), y = masked_mean(v, test::ids({1, 2}, {1, 0}));
  CHECK(distance(y.value().to_vector(), {x.at(0), x.at(1), x.at(2)}) == 0);
  Gradients all;
  tape.backward_from(y, Tensor::full({1, 3}, 1.0, Dtype::f64), all);
  CHECK(distance(all.of(v).to_vector(), {1, 1, 1, 0, 0, 0}) == 0);
}

TEST_CASE("select_positions takes one vector of each sequence") {
  const Tensor x = Tensor::from<float>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(distance(select_positions(x, test::ids({2}, {1, 0})).value().to_vector(), {3, 4, 5, 6}) == 0);
}

TEST_CASE("pooling passes symbolic tensors through") {
  const Tensor x = Tensor::symbolic({2, 3, 4});
  CHECK(masked_mean(x, Tensor::symbolic({2, 3}, Dtype::i32)).shape() == Shape{2, 4});
  CHECK(select_positions(x, Tensor::symbolic({2}, Dtype::i32)).shape() == Shape{2, 4});
}

TEST_CASE("pooling says what is wrong with its arguments") {
  const Tensor x = Tensor::zeros({2, 3, 4});
  CHECK_THROWS_WITH_AS(masked_mean(x, Tensor::zeros({2, 4}, Dtype::i32)),
                       "masked_mean: keep must be i32 [2, 3]; got i32 [2, 4], x [2, 3, 4]", Error);
  CHECK_THROWS_WITH_AS(masked_mean(Tensor::zeros({2, 3}), Tensor::zeros({2}, Dtype::i32)),
                       "masked_mean: x must be [B, T, d]; got [2, 3]", Error);
  CHECK_THROWS_WITH_AS(select_positions(x, test::ids({2}, {0, 3})),
                       "select_positions: position must be in [0, 3); got 3 in row 1", Error);
  CHECK_THROWS_WITH_AS(select_positions(x, Tensor::zeros({2})),
                       "select_positions: positions must be i32 [2]; got f32 [2], x [2, 3, 4]", Error);
}
