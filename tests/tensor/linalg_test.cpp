#include "tensor/linalg.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "qkv/base/random.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// op(a) b in doubles, by the definition.
Tensor product(const Tensor& a, const Tensor& b, bool transpose_a = false) {
  const Index m = a.dim(transpose_a ? 1 : 0), k = a.dim(transpose_a ? 0 : 1), n = b.dim(1);
  Tensor c = Tensor::zeros({m, n}, Dtype::f64);
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j)
      for (Index l = 0; l < k; ++l)
        c.data<double>()[i * n + j] += (transpose_a ? a.at(l * m + i) : a.at(i * k + l)) * b.at(l * n + j);
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

TEST_CASE("svd: factors multiply to the matrix, are orthonormal, sorted and of fixed sign, for any shape") {
  const std::vector<std::pair<Index, Index>> sizes{{1, 1}, {5, 3}, {3, 5}, {4, 4}, {1, 6}, {6, 1}, {40, 17}};
  for (auto [m, n] : sizes) {
    const Tensor x = normal({m, n}, Dtype::f64, 7);
    const Svd f = svd(x);
    const Index k = std::min(m, n);
    REQUIRE(f.u.shape() == Shape{m, k});
    REQUIRE(f.vt.shape() == Shape{k, n});
    Tensor us = f.u.clone();
    for (Index i = 0; i < us.size(); ++i) us.data<double>()[i] *= f.s.at(i % k);
    CHECK(distance(product(us, f.vt), x) < 1e-12);
    CHECK(distance(product(f.u, f.u, true), identity(k)) < 1e-12);
    CHECK(distance(product(f.vt, transposed(f.vt)), identity(k)) < 1e-12);
    for (Index i = 0; i < k; ++i) {
      if (i > 0) CHECK(f.s.at(i) <= f.s.at(i - 1));
      double extreme = 0;
      for (Index j = 0; j < n; ++j)
        if (std::abs(f.vt.at(i * n + j)) > std::abs(extreme)) extreme = f.vt.at(i * n + j);
      CHECK(extreme > 0);
    }
  }
}

TEST_CASE("svd: known singular values; f32 in gives f32 out") {
  const Svd f = svd(Tensor::from<float>({2, 2}, {3, 0, 4, 5}));  // s^2 = 45, 5
  CHECK(f.s.dtype() == Dtype::f32);
  CHECK(f.s.at(0) == doctest::Approx(std::sqrt(45.0)));
  CHECK(f.s.at(1) == doctest::Approx(std::sqrt(5.0)));
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
  double mean = 0, square = 0;
  for (Index i = 0; i < n; ++i) {
    double expected = 0;
    for (Index j = 0; j < d; ++j) expected += (x.at(i * d + j) - p.mean.at(j)) * p.components.at(j);
    CHECK(p.projected.at(2 * i) == doctest::Approx(expected));
    mean += expected / n;
    square += expected * expected / (n - 1);
  }
  CHECK(std::abs(mean) < 1e-12);
  CHECK(p.variance.at(0) == doctest::Approx(square));
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
  CHECK_THROWS_WITH((void)svd(Tensor::zeros({2})), "svd: input must be a matrix with elements; got [2]");
  CHECK_THROWS_WITH((void)svd(Tensor::zeros({0, 2})),
                    "svd: input must be a matrix with elements; got [0, 2]");
  CHECK_THROWS_WITH((void)svd(Tensor::zeros({2, 2}, Dtype::i32)), "svd: dtype must be f32 or f64; got i32");
  Tensor x = Tensor::zeros({2, 2});
  x.data<float>()[2] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH((void)svd(x), "svd: values must be finite; got inf at row 1, column 0");
  CHECK_THROWS_WITH((void)pca(Tensor::zeros({4, 3}), 4), "pca: k must be in [1, 3]; got 4 for [4, 3]");
  CHECK_THROWS_WITH((void)pca(Tensor::zeros({1, 3}), 1), "pca: at least two rows must be given; got [1, 3]");
}
