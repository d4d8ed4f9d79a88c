#include "qkv/ops/reduce.h"

#include <limits>

#include "tensors.h"

using namespace qkv;
using test::distance;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The definition, in long double, along any axis.
std::vector<double> reference(const Tensor& x, int axis, bool log) {
  axis = x.shape().check_axis(axis);
  const Index n = x.dim(axis), inner = x.shape().size_of(axis + 1, x.rank());
  std::vector<double> y(static_cast<std::size_t>(x.size()));
  for (Index i = 0; i < x.size(); i++) {
    const Index first = i - i / inner % n * inner;
    long double sum = 0;
    for (Index j = 0; j < n; j++) sum += std::exp(static_cast<long double>(x.at(first + j * inner)));
    const long double p = std::exp(static_cast<long double>(x.at(i))) / sum;
    y[static_cast<std::size_t>(i)] = static_cast<double>(log ? std::log(p) : p);
  }
  return y;
}

}  // namespace

TEST_CASE("softmax and log_softmax follow their definition along every axis") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const Shape& shape : {Shape{7}, Shape{3, 33}, Shape{2, 5, 17}, Shape{2, 3, 4, 5}})
      for (int axis = -shape.rank(); axis < shape.rank(); axis++) {
        CAPTURE(shape.str());
        CAPTURE(axis);
        const Tensor x = test::normal(shape, dtype, 1, 3.0);
        CHECK(distance(softmax(x, axis).value().to_vector(), reference(x, axis, false)) <=
              test::tolerance(dtype));
        CHECK(distance(log_softmax(x, axis).value().to_vector(), reference(x, axis, true)) <=
              test::tolerance(dtype));
      }
}

TEST_CASE("softmax stays finite for logits of +-1e4 and does not notice a common shift") {
  const Tensor x = Tensor::from<float>({2, 3}, {1e4f, 1e4f, -1e4f, -1e4f, -1e4f + 1, -1e4f});
  const double e = std::exp(1.0);
  CHECK(distance(softmax(x).value().to_vector(), {0.5, 0.5, 0, 1 / (2 + e), e / (2 + e), 1 / (2 + e)}) <=
        1e-6);
  CHECK(distance(log_softmax(x).value().to_vector(),
                 {-std::log(2.0), -std::log(2.0), -2e4 - std::log(2.0), -std::log(2 + e), 1 - std::log(2 + e),
                  -std::log(2 + e)}) <= 1e-6);
}

TEST_CASE("a row of -inf gives zeros and zero gradient, one -inf gives one zero, NaN stays NaN") {
  const Tensor x = Tensor::from<double>({3, 2}, {-kInfinity, -kInfinity, 0, -kInfinity, NAN, -kInfinity});
  for (int axis : {1, 0}) {
    const Tensor in =
        axis == 1 ? x
                  : Tensor::from<double>({2, 3}, {-kInfinity, 0, NAN, -kInfinity, -kInfinity, -kInfinity});
    const std::vector<double> rows = {0, 0, 1, 0, NAN, NAN}, columns = {0, 1, NAN, 0, 0, NAN};
    CHECK(distance(softmax(in, axis).value().to_vector(), axis == 1 ? rows : columns) == 0);
  }
  CHECK(distance(log_softmax(x).value().to_vector(), {-kInfinity, -kInfinity, 0, -kInfinity, NAN, NAN}) == 0);
  Tape tape;
  Var v = tape.variable(x.rows(0, 2)), y = log_softmax(v);
  Gradients all;
  tape.backward_from(y, Tensor::full({2, 2}, 1.0, Dtype::f64), all);
  CHECK(distance(all.of(v).to_vector(), {0, 0, -1, 1}) == 0);
}

TEST_CASE("softmax of an empty or symbolic tensor keeps its shape") {
  CHECK(softmax(Tensor::empty({0, 3})).shape() == Shape{0, 3});
  CHECK(softmax(Tensor::empty({3, 0})).shape() == Shape{3, 0});
  CHECK(softmax(Tensor::empty({2, 3, 0}), 1).shape() == Shape{2, 3, 0});
  CHECK(log_softmax(Tensor::symbolic({2, 3}, Dtype::f64), 0).is_symbolic());
}

TEST_CASE("softmax says what is wrong with its arguments") {
  CHECK_THROWS_WITH_AS(softmax(Tensor::zeros({2, 3}), 2),
                       "softmax: axis must be in [-2, 2); got 2 for shape [2, 3]", Error);
  CHECK_THROWS_WITH_AS(log_softmax(Tensor::zeros({}), 0),
                       "log_softmax: axis must be in [0, 0); got 0 for shape []", Error);
  CHECK_THROWS_WITH_AS(softmax(Tensor::zeros({2}, Dtype::i32)), "softmax: dtype must be f32 or f64; got i32",
                       Error);
}
