#include "qkv/ops/activations.h"

#include "tensors.h"

using namespace qkv;
using test::distance;

TEST_CASE("dropout is the identity without a tape, without randomness and at p = 0") {
  const Tensor x = test::normal({4, 5}, Dtype::f32);
  CHECK(test::share_buffer(dropout(x, 0.5).value(), x));
  {
    Tape tape;
    Var v = tape.variable(x);
    CHECK(dropout(v, 0.5).node() == v.node());
  }
  Tape tape(Stream(1, "dropout"));
  Var v = tape.variable(x);
  CHECK(dropout(v, 0.0).node() == v.node());
}

TEST_CASE("dropout zeroes the given share, scales the rest and keeps the same elements in the gradient") {
  const Index n = 100000;
  for (double p : {0.1, 0.5, 0.9}) {
    Tape tape(Stream(1, "dropout"));
    Var x = tape.variable(Tensor::full({n}, 3.0)), y = dropout(x, p);
    Gradients all;
    tape.backward_from(y, Tensor::full({n}, 2.0), all);
    const Tensor value = y.value(), gradient = all.of(x);
    Index dropped = 0;
    bool exact = true;
    for (Index i = 0; i < n; i++) {
      const bool kept = value.at(i) != 0;
      dropped += !kept;
      exact = exact && std::abs(value.at(i) - (kept ? 3 / (1 - p) : 0)) <= 1e-5 &&
              std::abs(gradient.at(i) - (kept ? 2 / (1 - p) : 0)) <= 1e-5;
    }
    CHECK(exact);
    CHECK(std::abs(static_cast<double>(dropped) / n - p) <= 5 * std::sqrt(p * (1 - p) / n));
  }
}

TEST_CASE("each dropout of a tape draws another mask, and a tape with the same stream the same ones") {
  const Tensor x = Tensor::full({64}, 1.0);
  auto masks = [&] {
    Tape tape(Stream(9, "dropout", 3));
    Var v = tape.variable(x);
    return std::make_pair(dropout(v, 0.5).value().to_vector(), dropout(v, 0.5).value().to_vector());
  };
  const auto first = masks(), again = masks();
  CHECK(first == again);
  CHECK(first.first != first.second);
}

TEST_CASE("dropout refuses p outside [0, 1), also when it would be the identity") {
  const Tensor x = Tensor::zeros({2});
  CHECK_THROWS_WITH_AS(dropout(x, 1.0), "dropout: p must be in [0, 1); got 1", Error);
  CHECK_THROWS_WITH_AS(dropout(x, -0.1), "dropout: p must be in [0, 1); got -0.1", Error);
  CHECK_THROWS_WITH_AS(dropout(x, NAN), "dropout: p must be in [0, 1); got nan", Error);
  CHECK(dropout(Tensor::symbolic({2}), 0.5).is_symbolic());
}
