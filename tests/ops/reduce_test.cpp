#include "qkv/ops/reduce.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "qkv/base/random.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

const double inf = std::numeric_limits<double>::infinity();

// The elements that belong to each result, found by index arithmetic.
std::map<Index, std::vector<double>> groups(const Tensor& x, unsigned reduced) {
  std::map<Index, std::vector<double>> result;
  for (Index i = 0; i < x.size(); i++) {
    Index rest = i, at = 0, stride = 1;
    for (int axis = x.rank() - 1; axis >= 0; axis--) {
      if (!(reduced >> axis & 1u)) at += rest % x.dim(axis) * stride, stride *= x.dim(axis);
      rest /= x.dim(axis);
    }
    result[at].push_back(x.at(i));
  }
  return result;
}

using Reduction = Var (*)(const Var&, const Axes&, bool);
using Formula = std::function<double(const std::vector<double>&)>;

void check_against(Reduction op, const Formula& formula) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const Shape& shape : {Shape{}, Shape{7}, Shape{3, 40}, Shape{40, 3}, Shape{2, 3, 4},
                               Shape{3, 1, 5, 2}, Shape{1, 600}, Shape{300, 20}})
      for (unsigned mask = 0; mask < 1u << shape.rank(); mask++)
        for (bool keep : {false, true}) {
          int list[Shape::kMaxRank], count = 0;
          for (int i = 0; i < shape.rank(); i++)
            if (mask >> i & 1u) list[count] = count % 2 ? i - shape.rank() : i, count++;
          const Tensor x = normal(shape, dtype, 5);
          const Axes axes(list, count);
          const Tensor y = op(x, axes, keep).value();
          const unsigned reduced = axes.mask("test", shape);
          Shape expected_shape;
          for (int i = 0; i < shape.rank(); i++) {
            if (!(reduced >> i & 1u)) expected_shape.push_back(shape[i]);
            if ((reduced >> i & 1u) && keep) expected_shape.push_back(1);
          }
          CAPTURE(shape.str());
          CAPTURE(mask);
          REQUIRE(y.shape() == expected_shape);
          REQUIRE(y.dtype() == dtype);
          const auto expected = groups(x, reduced);
          REQUIRE(static_cast<Index>(expected.size()) == y.size());
          for (const auto& [at, values] : expected)
            CHECK(std::abs(y.at(at) - formula(values)) <= (dtype == Dtype::f32 ? 4e-6 : 1e-13) * 10);
        }
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v;
  return sum;
}

}  // namespace

TEST_CASE("reductions agree with their formula over every set of axes") {
  check_against(sum, total);
  check_against(mean, [](const auto& v) { return total(v) / static_cast<double>(v.size()); });
  check_against(max, [](const auto& v) { return *std::max_element(v.begin(), v.end()); });
  check_against(min, [](const auto& v) { return *std::min_element(v.begin(), v.end()); });
  check_against(logsumexp, [](const auto& v) {
    double s = 0;
    for (double e : v) s += std::exp(e);
    return std::log(s);
  });
}

TEST_CASE("sums of f32 keep six digits over a million elements in any direction") {
  const Index n = 1 << 20;
  const Tensor x = Tensor::full({n}, 0.1);
  for (const Shape& shape : {Shape{1, n}, Shape{n, 1}, Shape{n / 4, 4}, Shape{1024, 1024}}) {
    const double scale = static_cast<double>(static_cast<float>(0.1));
    CHECK(sum(x.reshape(shape)).value().item() == doctest::Approx(scale * double(n)).epsilon(1e-6));
    const Tensor columns = sum(x.reshape(shape), 0).value();
    CHECK(columns.at(0) == doctest::Approx(scale * static_cast<double>(shape[0])).epsilon(1e-6));
  }
}

TEST_CASE("reductions of nothing, of infinities and of not-a-number") {
  CHECK(sum(Tensor::empty({0, 2}), 0).value().to_vector() == std::vector<double>{0, 0});
  CHECK(sum(Tensor::empty({2, 0}), 0).shape() == Shape{0});
  CHECK(std::isnan(mean(Tensor::empty({0})).value().item()));
  CHECK(logsumexp(Tensor::empty({0})).value().item() == -inf);
  CHECK_THROWS_WITH_AS(max(Tensor::empty({3, 0}), 1), "max: must reduce at least one element; got [3, 0]",
                       Error);
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    auto value = [&](Var (*op)(const Var&, const Axes&, bool), std::vector<double> v) {
      return op(Tensor::from<double>({static_cast<Index>(v.size())}, v).to(dtype), {}, false).value().item();
    };
    CHECK(value(max, {-inf, -inf}) == -inf);
    CHECK(value(min, {inf, inf}) == inf);
    CHECK(value(logsumexp, {-inf, -inf}) == -inf);
    CHECK(value(logsumexp, {1, inf}) == inf);
    CHECK(value(logsumexp, {1000, 1000}) == doctest::Approx(1000 + std::log(2.0)));
    for (std::size_t at : {0, 3, 20, 39}) {
      std::vector<double> v(40, 1.0);
      v[at] = std::nan("");
      CHECK(std::isnan(value(max, v)));
      CHECK(std::isnan(value(min, v)));
      CHECK(std::isnan(value(logsumexp, v)));
      CHECK(argmax(Tensor::from<double>({40}, v).to(dtype), 0).item() == static_cast<double>(at));
    }
  }
}

TEST_CASE("the gradient of max goes to the first of equal elements") {
  Tape tape;
  const Var x = tape.variable(Tensor::from<double>({2, 3}, {1, 5, 5, 2, 2, 2}));
  Gradients g;
  tape.backward_from(max(x, 1), Tensor::from<double>({2}, {10, 20}), g);
  CHECK(g.of(x).to_vector() == std::vector<double>{0, 10, 0, 20, 0, 0});
}

TEST_CASE("argmax finds the first or the last of equal elements along any axis") {
  const Var x = Tensor::from<float>({2, 3}, {1, 5, 5, 2, 2, 2});
  CHECK(argmax(x, 1).to_vector() == std::vector<double>{1, 0});
  CHECK(argmax(x, -1, true, true).to_vector() == std::vector<double>{2, 2});
  CHECK(argmax(x, -1, true).shape() == Shape{2, 1});
  CHECK(argmax(x, 0).to_vector() == std::vector<double>{1, 0, 0});
  CHECK(argmax(x, 0).dtype() == Dtype::i32);
  for (Index n : {1, 7, 16, 17, 40})
    for (Index at = 0; at < n; at++) {
      Tensor row = Tensor::full({n}, 1.0);
      row.data<float>()[at] = row.data<float>()[n - 1] = 2.0f;
      CHECK(argmax(row, 0).item() == static_cast<double>(at));
      CHECK(argmax(row, 0, false, true).item() == static_cast<double>(n - 1));
    }
}

TEST_CASE("cumsum runs along its axis, forwards or backwards, with or without the element itself") {
  const Var x = Tensor::from<double>({2, 3}, {1, 2, 3, 4, 5, 6});
  auto values = [&](int axis, bool exclusive, bool reverse) {
    return cumsum(x, axis, exclusive, reverse).value().to_vector();
  };
  CHECK(values(1, false, false) == std::vector<double>{1, 3, 6, 4, 9, 15});
  CHECK(values(-1, true, false) == std::vector<double>{0, 1, 3, 0, 4, 9});
  CHECK(values(-1, false, true) == std::vector<double>{6, 5, 3, 15, 11, 6});
  CHECK(values(-1, true, true) == std::vector<double>{5, 3, 0, 11, 6, 0});
  CHECK(values(0, false, false) == std::vector<double>{1, 2, 3, 5, 7, 9});
}

TEST_CASE("reductions pass symbolic tensors and name wrong axes") {
  const Var x = Tensor::symbolic({2, 3});
  CHECK(sum(x, 1, true).is_symbolic());
  CHECK(logsumexp(x, {0}).shape() == Shape{3});
  CHECK(argmax(x, 1).is_symbolic());
  CHECK(max(x).shape() == Shape{});
  CHECK_THROWS_WITH_AS(sum(x, 2), "sum: axis must be in [-2, 2); got 2 for shape [2, 3]", Error);
  CHECK_THROWS_WITH_AS(mean(x, {0, -2}), "mean: axes must differ; got axis 0 twice for shape [2, 3]", Error);
  CHECK_THROWS_WITH_AS(sum(Tensor::zeros({2}, Dtype::i32)), "sum: dtype must be f32 or f64; got i32", Error);
  CHECK_THROWS_WITH_AS(cumsum(x, -3), "cumsum: axis must be in [-2, 2); got -3 for shape [2, 3]", Error);
}
