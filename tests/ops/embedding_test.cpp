#include "qkv/ops/embedding.h"

#include "tensors.h"

using namespace qkv;
using test::distance;

TEST_CASE("embedding copies rows and its gradient adds up the uses of each row") {
  const Tensor table = Tensor::from<double>({3, 2}, {0, 1, 10, 11, 20, 21});
  Tape tape;
  Var v = tape.variable(table), y = embedding(test::ids({2, 2}, {2, 0, 2, 2}), v);
  CHECK(y.shape() == Shape{2, 2, 2});
  CHECK(distance(y.value().to_vector(), {20, 21, 0, 1, 20, 21, 20, 21}) == 0);
  Gradients all;
  tape.backward_from(y, Tensor::from<double>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}), all);
  CHECK(distance(all.of(v).to_vector(), {3, 4, 0, 0, 13, 16}) == 0);
}

TEST_CASE("embedding_bag is the mean of the rows of each bag, zeros for an empty one") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor table = test::normal({5, 19}, dtype);
    const Tensor y = embedding_bag(test::ids({4}, {4, 4, 1, 3}), test::ids({4}, {0, 3, 3, 4}), table).value();
    std::vector<double> expected;
    for (Index j = 0; j < 19; j++) expected.push_back((2 * table.at(4 * 19 + j) + table.at(19 + j)) / 3);
    for (Index j = 0; j < 19; j++) expected.push_back(0);
    for (Index j = 0; j < 19; j++) expected.push_back(table.at(3 * 19 + j));
    CHECK(y.shape() == Shape{3, 19});
    CHECK(distance(y.to_vector(), expected) <= test::tolerance(dtype));
  }
}

TEST_CASE("embeddings pass symbolic tensors through") {
  const Tensor table = Tensor::symbolic({5, 3}, Dtype::f64), ids = Tensor::symbolic({2, 4}, Dtype::i32);
  CHECK(embedding(ids, table).shape() == Shape{2, 4, 3});
  CHECK(embedding(ids, table).dtype() == Dtype::f64);
  CHECK(embedding_bag(Tensor::symbolic({7}, Dtype::i32), Tensor::symbolic({4}, Dtype::i32), table).shape() ==
        Shape{3, 3});
}

TEST_CASE("embeddings say what is wrong with their arguments") {
  const Tensor table = Tensor::zeros({5, 3});
  CHECK_THROWS_WITH_AS(embedding(test::ids({2}, {0, 5}), table),
                       "embedding: id must be in [0, 5); got 5 at position 1 (table [5, 3])", Error);
  CHECK_THROWS_WITH_AS(embedding(test::ids({1}, {-1}), table),
                       "embedding: id must be in [0, 5); got -1 at position 0 (table [5, 3])", Error);
  CHECK_THROWS_WITH_AS(embedding(Tensor::zeros({2}), table), "embedding: ids must be i32; got f32 [2]",
                       Error);
  CHECK_THROWS_WITH_AS(embedding(test::ids({1}, {0}), Tensor::zeros({5})),
                       "embedding: table must be f32 or f64 [V, d]; got f32 [5]", Error);
  CHECK_THROWS_WITH_AS(embedding_bag(test::ids({2}, {0, 1}), test::ids({2}, {0, 1}), table),
                       "embedding_bag: offsets must go from 0 to the number of ids 2; got 0 to 1", Error);
  CHECK_THROWS_WITH_AS(embedding_bag(test::ids({2}, {0, 1}), test::ids({4}, {0, 2, 1, 2}), table),
                       "embedding_bag: offsets must not decrease; got 1 after 2 at position 2", Error);
}
