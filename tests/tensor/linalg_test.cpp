#include "tensor/linalg.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "qkv/base/random.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// a b in doubles, by the definition.
Tensor product(const Tensor& a, const Tensor& b) {
  const Index m = a.dim(0), k = a.dim(1), n = b.dim(1);
  Tensor c = Tensor::zeros({m, n}, Dtype::f64);
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j)
      for (Index l = 0; l < k; ++l) c.data<double>()[i * n + j] += a.at(i * k + l) * b.at(l * n + j);
  return c;
}

Tensor transposed(const Tensor& x) {
  Tensor y = Tensor::empty({x.dim(1), x.dim(0)}, Dtype::f64);
  for (Index i = 0; i < x.dim(0); ++i)
    for (Index j = 0; j < x.dim(1); ++j) y.data<double>()[j * x.dim(0) + i] = x.at(i * x.dim(1) + j);
  return y;
}

Tensor identity(Index n) {
  Tensor x = Tensor::zeros({n, n}, Dtype::f64);
  for (Index i = 0; i < n; ++i) x.data<double>()[i * n + i] = 1;
  return x;
}

}  // namespace

TEST_CASE("singular values are sorted, and their squares add up to those of the elements, for any shape") {
  const std::vector<std::pair<Index, Index>> sizes{{1, 1}, {5, 3}, {3, 5}, {4, 4}, {1, 6}, {6, 1}, {40, 17}};
  for (auto [m, n] : sizes) {
    const Tensor x = normal({m, n}, Dtype::f64, 7), s = singular_values(x);
    REQUIRE(s.shape() == Shape{std::min(m, n)});
    double of_elements = 0, of_values = 0;
    for (Index i = 0; i < x.size(); ++i) of_elements += x.at(i) * x.at(i);
    for (Index i = 0; i < s.size(); ++i) {
      if (i > 0) CHECK(s.at(i) <= s.at(i - 1));
      of_values += s.at(i) * s.at(i);
    }
    CHECK(of_values == doctest::Approx(of_elements));
  }
}

TEST_CASE("singular values: known ones; f32 in gives f32 out") {
  const Tensor s = singular_values(Tensor::from<float>({2, 2}, {3, 0, 4, 5}));  // s^2 = 45, 5
  CHECK(s.dtype() == Dtype::f32);
  CHECK(s.at(0) == doctest::Approx(std::sqrt(45.0)));
  CHECK(s.at(1) == doctest::Approx(std::sqrt(5.0)));
}

TEST_CASE("pca: all components are orthonormal, of fixed sign, and give the centred rows back") {
  const std::vector<std::pair<Index, Index>> sizes{{5, 3}, {3, 5}, {4, 4}, {6, 1}, {40, 17}};
  for (auto [n, d] : sizes) {
    const Index k = std::min(n, d);
    Tensor x = normal({n, d}, Dtype::f64, 7);
    const Pca p = pca(x, k);
    for (Index i = 0; i < x.size(); ++i) x.data<double>()[i] -= p.mean.at(i % d);
    CHECK(distance(product(p.projected, p.components), x) < 1e-12);
    CHECK(distance(product(p.components, transposed(p.components)), identity(k)) < 1e-12);
    for (Index i = 0; i < k; ++i) {
      double extreme = 0;
      for (Index j = 0; j < d; ++j)
        if (std::abs(p.components.at(i * d + j)) > std::abs(extreme)) extreme = p.components.at(i * d + j);
      CHECK(extreme > 0);
    }
  }
}

TEST_CASE("pca: finds the axis of a stretched cloud, its variance and the projections") {
  const Index n = 200, d = 3;
  Tensor x = normal({n, d}, Dtype::f64, 11);
  for (Index i = 0; i < n; ++i) {
    double* row = x.data<double>() + i * d;
    row[1] = 10 * row[1] + 5;
    row[2] = 0.1 * row[2] - 3;
  }
  const Pca p = pca(x, 2);
  REQUIRE(p.components.shape() == Shape{2, d});
  REQUIRE(p.projected.shape() == Shape{n, 2});
  CHECK(p.components.at(1) > 0.999);
  CHECK(p.components.at(3) > 0.99);
  double mean = 0;
  for (Index i = 0; i < n; ++i) {
    double expected = 0;
    for (Index j = 0; j < d; ++j) expected += (x.at(i * d + j) - p.mean.at(j)) * p.components.at(j);
    CHECK(p.projected.at(2 * i) == doctest::Approx(expected));
    mean += expected / n;
  }
  CHECK(std::abs(mean) < 1e-12);
  CHECK(p.variance_ratio.at(0) > 0.98);
  CHECK(p.variance_ratio.at(0) + p.variance_ratio.at(1) <= 1);
  CHECK(pca(x, 2).projected.to_vector() == p.projected.to_vector());
}

TEST_CASE("pca: points without spread have no variance, and wide inputs work") {
  const Pca p = pca(Tensor::full({4, 3}, 2, Dtype::f32), 1);
  CHECK(p.variance_ratio.at(0) == 0);
  CHECK(p.projected.at(0) == 0);
  CHECK(pca(normal({3, 50}, Dtype::f64, 1), 3).projected.shape() == Shape{3, 3});
}

TEST_CASE("decompositions: what they cannot take is an error") {
  CHECK_THROWS_WITH((void)singular_values(Tensor::zeros({2})),
                    "svd: input must be a matrix with elements; got [2]");
  CHECK_THROWS_WITH((void)singular_values(Tensor::zeros({0, 2})),
                    "svd: input must be a matrix with elements; got [0, 2]");
  CHECK_THROWS_WITH((void)singular_values(Tensor::zeros({2, 2}, Dtype::i32)),
                    "svd: dtype must be f32 or f64; got i32");
  Tensor x = Tensor::zeros({2, 2});
  x.data<float>()[2] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH((void)singular_values(x), "svd: values must be finite; got inf at row 1, column 0");
  CHECK_THROWS_WITH((void)pca(Tensor::zeros({4, 3}), 4), "pca: k must be in [1, 3]; got 4 for [4, 3]");
  CHECK_THROWS_WITH((void)pca(Tensor::zeros({1, 3}), 1), "pca: at least two rows must be given; got [1, 3]");
}
