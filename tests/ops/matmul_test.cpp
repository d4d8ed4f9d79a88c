#include "qkv/ops/matmul.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/random.h"
#include "qkv/ops/shape_ops.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Sums of products of operands that are broadcast to [.., m, k] and [.., k, n] first.
Tensor by_definition(const Tensor& a, const Tensor& b) {
  Shape batch_a(a.shape().begin(), a.rank() - 2), batch_b(b.shape().begin(), b.rank() - 2);
  const Shape batch = broadcast("test", batch_a, batch_b);
  const Index m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  auto expand = [&](const Tensor& t) {
    Shape shape = batch;
    shape.push_back(t.dim(-2)), shape.push_back(t.dim(-1));
    return broadcast_to(t, shape).value();
  };
  const Tensor wide_a = expand(a), wide_b = expand(b);
  Shape shape = batch;
  shape.push_back(m), shape.push_back(n);
  Tensor y = Tensor::zeros(shape, Dtype::f64);
  for (Index q = 0; q < batch.size(); q++)
    for (Index i = 0; i < m; i++)
      for (Index j = 0; j < n; j++)
        for (Index l = 0; l < k; l++)
          y.data<double>()[(q * m + i) * n + j] +=
              wide_a.at((q * m + i) * k + l) * wide_b.at((q * k + l) * n + j);
  return y;
}

}  // namespace

TEST_CASE("matmul agrees with its definition over broadcast and empty batches") {
  const std::pair<Shape, Shape> shapes[] = {
      {{3, 4}, {4, 5}},          {{2, 3, 4}, {4, 5}}, {{2, 3, 4}, {2, 4, 5}}, {{4, 3}, {2, 3, 2}},
      {{2, 1, 3, 4}, {3, 4, 2}}, {{1, 1}, {1, 1}},    {{0, 3, 4}, {4, 5}},    {{0, 3, 4}, {1, 4, 5}},
      {{2, 0, 4}, {4, 5}},       {{2, 3, 0}, {0, 5}}, {{2, 3, 4}, {2, 4, 0}}, {{70, 130}, {130, 65}}};
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const auto& [sa, sb] : shapes) {
      const Tensor a = normal(sa, dtype, 1), b = normal(sb, dtype, 2);
      const Tensor y = matmul(a, b).value(), expected = by_definition(a, b);
      REQUIRE(y.shape() == expected.shape());
      for (Index i = 0; i < y.size(); i++)
        CHECK(std::abs(y.at(i) - expected.at(i)) < (dtype == Dtype::f32 ? 2e-5 : 1e-12));
      Tape tape;
      const Var va = tape.variable(a), vb = tape.variable(b);
      Gradients g;
      tape.backward_from(matmul(va, vb), Tensor::full(y.shape(), 1, dtype), g);
      CHECK(g.of(va).shape() == sa);
      CHECK(g.of(vb).shape() == sb);
      if (y.size() == 0 || sa[-1] == 0)
        for (const Tensor& t : {g.of(va), g.of(vb)})
          for (double v : t.to_vector()) CHECK(v == 0);
    }
}

TEST_CASE("matmul with vectors drops the axis they lend") {
  const Tensor m = normal({2, 3, 4}, Dtype::f64, 3), v = normal({4}, Dtype::f64, 4),
               u = normal({3}, Dtype::f64, 5);
  CHECK(matmul(m, v).shape() == Shape{2, 3});
  CHECK(matmul(u, m).shape() == Shape{2, 4});
  CHECK(matmul(v, v).shape() == Shape{});
  CHECK(matmul(m, v).value().to_vector() == matmul(m, v.reshape({4, 1})).value().to_vector());
  CHECK(matmul(u, m).value().to_vector() == matmul(u.reshape({1, 3}), m).value().to_vector());
}

TEST_CASE("linear is x W^T + b") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor x = normal({2, 5, 7}, dtype, 6), w = normal({3, 7}, dtype, 7), b = normal({3}, dtype, 8);
    const Tensor y = linear(x, w, b).value(), expected = by_definition(x, transpose(w).value());
    CHECK(y.shape() == Shape{2, 5, 3});
    for (Index i = 0; i < y.size(); i++)
      CHECK(std::abs(y.at(i) - expected.at(i) - b.at(i % 3)) < (dtype == Dtype::f32 ? 1e-5 : 1e-13));
    CHECK(linear(Tensor::empty({0, 7}, dtype), w, b).shape() == Shape{0, 3});
  }
}

TEST_CASE("matmul and linear name operands that do not fit, and pass symbolic tensors") {
  const Var a = Tensor::zeros({2, 3}), b = Tensor::zeros({4, 2});
  CHECK_THROWS_WITH_AS(matmul(a, b), "matmul: inner sizes must agree; got a [2, 3] x b [4, 2]", Error);
  CHECK_THROWS_WITH_AS(matmul(Tensor::zeros({}), b),
                       "matmul: operands must not be scalars; got a [] x b [4, 2]", Error);
  CHECK_THROWS_WITH_AS(matmul(Tensor::zeros({2, 2, 3}), Tensor::zeros({3, 3, 1})),
                       "matmul: shapes must broadcast; got a [2] and b [3]", Error);
  CHECK_THROWS_WITH_AS(linear(a, b), "linear: input width must be 2; got x [2, 3], weight [4, 2]", Error);
  CHECK_THROWS_WITH_AS(linear(b, b, Tensor::zeros({2})), "linear: bias must be [4]; got [2]", Error);
  CHECK(matmul(Tensor::symbolic({5, 2, 3}), Tensor::zeros({3, 4})).shape() == Shape{5, 2, 4});
  CHECK(linear(Tensor::symbolic({5, 2}), b).is_symbolic());
}
