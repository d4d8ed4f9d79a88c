#include "tensor/gemm.h"

#include <cblas.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/base/threads.h"

using namespace qkv;

namespace {

template <class T>
std::vector<T> random(Index n, std::uint64_t seed) {
  std::vector<T> values(static_cast<std::size_t>(n));
  fill_normal(Stream(seed, "gemm"), values.data(), values.size());
  return values;
}

struct Case {
  Trans ta, tb;
  Index m, n, k, lda, ldb, ldc;
  double alpha, beta;
};

// Largest error against the triple loop in long double, relative to the sum of magnitudes; infinite when an
// element between the rows of C was touched.
template <class T>
double error_of(const Case& c, std::uint64_t seed) {
  const Index rows_a = c.ta == Trans::yes ? c.k : c.m, rows_b = c.tb == Trans::yes ? c.n : c.k;
  const auto a = random<T>(rows_a * c.lda, seed), b = random<T>(rows_b * c.ldb, seed + 1);
  auto result = random<T>(c.m * c.ldc, seed + 2);
  const auto before = result;
  gemm<T>(c.ta, c.tb, c.m, c.n, c.k, static_cast<T>(c.alpha), a.data(), c.lda, b.data(), c.ldb,
          static_cast<T>(c.beta), result.data(), c.ldc);
  double worst = 0;
  for (Index i = 0; i < c.m; i++)
    for (Index j = 0; j < c.ldc; j++) {
      const auto at = static_cast<std::size_t>(i * c.ldc + j);
      if (j >= c.n) {
        if (result[at] != before[at]) return INFINITY;
        continue;
      }
      const long double old = static_cast<long double>(c.beta) * before[at];
      long double sum = old, magnitude = std::abs(old);
      for (Index l = 0; l < c.k; l++) {
        const long double x = a[static_cast<std::size_t>(c.ta == Trans::yes ? l * c.lda + i : i * c.lda + l)];
        const long double y = b[static_cast<std::size_t>(c.tb == Trans::yes ? j * c.ldb + l : l * c.ldb + j)];
        sum += static_cast<long double>(c.alpha) * x * y;
        magnitude += std::abs(static_cast<long double>(c.alpha) * x * y);
      }
      worst = std::max(worst, static_cast<double>(std::abs(result[at] - sum) / (magnitude + 1e-30L)));
    }
  return worst;
}

}  // namespace

TEST_CASE("gemm equals the triple loop for random sizes, transposes, strides, alpha and beta") {
  Stream stream(11, "gemm cases");
  const Index sizes[] = {1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 65, 100};
  auto size = [&] {
    return sizes[stream.below(std::size(sizes))];
  };
  const double factors[] = {0, 1, -0.5, 2};
  for (std::uint64_t i = 0; i < 400; i++) {
    Case c{};
    c.ta = stream.bernoulli(0.5) ? Trans::yes : Trans::no,
    c.tb = stream.bernoulli(0.5) ? Trans::yes : Trans::no;
    c.m = size(), c.n = size(), c.k = size();
    auto stride = [&](Index width) {
      return width + static_cast<Index>(stream.below(3)) * 5;
    };
    c.lda = stride(c.ta == Trans::yes ? c.m : c.k), c.ldb = stride(c.tb == Trans::yes ? c.k : c.n);
    c.ldc = stride(c.n);
    c.alpha = factors[stream.below(4)], c.beta = factors[stream.below(4)];
    const std::string sizes_of_case =
        fmt::format("m {} n {} k {} alpha {} beta {} transposed {} {}", c.m, c.n, c.k, c.alpha, c.beta,
                    c.ta == Trans::yes, c.tb == Trans::yes);
    CAPTURE(sizes_of_case);
    CHECK(error_of<float>(c, 3 * i) <= 1e-6);
    CHECK(error_of<double>(c, 3 * i) <= 2e-15);
  }
}

namespace {

void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const Case& c, const float* a, const float* b, float* y) {
  cblas_sgemm(CblasRowMajor, ta, tb, static_cast<int>(c.m), static_cast<int>(c.n), static_cast<int>(c.k),
              static_cast<float>(c.alpha), a, static_cast<int>(c.lda), b, static_cast<int>(c.ldb),
              static_cast<float>(c.beta), y, static_cast<int>(c.ldc));
}
void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const Case& c, const double* a, const double* b,
          double* y) {
  cblas_dgemm(CblasRowMajor, ta, tb, static_cast<int>(c.m), static_cast<int>(c.n), static_cast<int>(c.k),
              c.alpha, a, static_cast<int>(c.lda), b, static_cast<int>(c.ldb), c.beta, y,
              static_cast<int>(c.ldc));
}

// Largest difference to BLAS, relative to the square root of the number of products of variance 1.
template <class T>
double difference_to_blas(const Case& c, std::uint64_t seed) {
  auto transposed = [](Trans t) {
    return t == Trans::yes ? CblasTrans : CblasNoTrans;
  };
  const auto a = random<T>((c.ta == Trans::yes ? c.k : c.m) * c.lda, seed);
  const auto b = random<T>((c.tb == Trans::yes ? c.n : c.k) * c.ldb, seed + 1);
  auto own = random<T>(c.m * c.ldc, seed + 2), other = own;
  gemm<T>(c.ta, c.tb, c.m, c.n, c.k, static_cast<T>(c.alpha), a.data(), c.lda, b.data(), c.ldb,
          static_cast<T>(c.beta), own.data(), c.ldc);
  blas(transposed(c.ta), transposed(c.tb), c, a.data(), b.data(), other.data());
  double worst = 0;
  for (std::size_t i = 0; i < own.size(); i++)
    worst = std::max(worst, std::abs(static_cast<double>(own[i]) - static_cast<double>(other[i])));
  return worst / std::sqrt(static_cast<double>(c.k));
}

}  // namespace

TEST_CASE("gemm equals BLAS over sizes on both sides of every block and of the choice between kernels") {
  Stream stream(12, "gemm against blas");
  const Index wide[] = {1, 2, 3, 6, 7, 16, 40, 96, 97, 130, 260, 700},
              deep[] = {1, 4, 31, 100, 384, 385, 770, 1100};
  for (std::uint64_t i = 0; i < 150; i++) {
    Case c{};
    c.ta = Trans(stream.bernoulli(0.5)), c.tb = Trans(stream.bernoulli(0.5));
    c.m = wide[stream.below(std::size(wide))], c.n = wide[stream.below(std::size(wide))];
    c.k = deep[stream.below(std::size(deep))];
    c.lda = (c.ta == Trans::yes ? c.m : c.k) + static_cast<Index>(stream.below(9));
    c.ldb = (c.tb == Trans::yes ? c.k : c.n) + static_cast<Index>(stream.below(9));
    c.ldc = c.n + static_cast<Index>(stream.below(9));
    c.alpha = stream.bernoulli(0.5) ? 1.0 : -0.5, c.beta = stream.bernoulli(0.5) ? 1.0 : 0.0;
    const std::string sizes_of_case =
        fmt::format("m {} n {} k {} transposed {} {}", c.m, c.n, c.k, c.ta == Trans::yes, c.tb == Trans::yes);
    CAPTURE(sizes_of_case);
    CHECK(difference_to_blas<float>(c, 3 * i) <= 2e-5);
    CHECK(difference_to_blas<double>(c, 3 * i) <= 4e-14);
  }
}

TEST_CASE("gemm_bias equals a product onto copies of the bias") {
  for (const auto& [m, n, k] : {std::tuple<Index, Index, Index>{1, 40, 7},
                                {3, 17, 16},
                                {40, 33, 400},
                                {8, 600, 600},
                                {2, 5, 0},
                                {300, 700, 500}}) {
    CAPTURE(m);
    const auto a = random<float>(m * k, 1), b = random<float>(k * n, 2), bias = random<float>(n, 3);
    std::vector<float> expected,
        result(static_cast<std::size_t>(m * n), std::numeric_limits<float>::quiet_NaN());
    for (Index i = 0; i < m; i++) expected.insert(expected.end(), bias.begin(), bias.end());
    gemm<float>(Trans::no, Trans::yes, m, n, k, 1, a.data(), k, b.data(), k, 1, expected.data(), n);
    gemm_bias<float>(Trans::no, Trans::yes, m, n, k, a.data(), k, b.data(), k, bias.data(), result.data(), n);
    CHECK(result == expected);
  }
}

TEST_CASE("with beta = 0 gemm does not read C, and an empty sum is zero") {
  for (Index k : {0, 1, 20}) {
    const std::vector<float> a(60, 1.0f), b(60, 1.0f);
    std::vector<float> c(9, std::numeric_limits<float>::quiet_NaN());
    gemm<float>(Trans::no, Trans::no, 3, 3, k, 1, a.data(), std::max<Index>(k, 1), b.data(), 3, 0, c.data(),
                3);
    for (float v : c) CHECK(v == static_cast<float>(k));
    gemm<float>(Trans::no, Trans::no, 3, 3, k, 1, a.data(), std::max<Index>(k, 1), b.data(), 3, 1, c.data(),
                3);
    for (float v : c) CHECK(v == static_cast<float>(2 * k));
  }
  float untouched = 5;
  gemm<float>(Trans::no, Trans::no, 0, 1, 1, 1, &untouched, 1, &untouched, 1, 0, &untouched, 1);
  CHECK(untouched == 5);
}

TEST_CASE("equal sizes give equal bits, wherever the operands lie") {
  for (Index m : {7, 64, 130}) {
    const auto a = random<float>(m * m + 1, 1), b = random<float>(m * m + 1, 2);
    std::vector<float> first(static_cast<std::size_t>(m * m)), shifted(first.size() + 1);
    gemm<float>(Trans::no, Trans::yes, m, m, m, 1, a.data() + 1, m, b.data(), m, 0, first.data(), m);
    std::vector<float> a2(a.begin() + 1, a.end()), b2(b.size() + 1);
    std::copy(b.begin(), b.end(), b2.begin() + 1);
    gemm<float>(Trans::no, Trans::yes, m, m, m, 1, a2.data(), m, b2.data() + 1, m, 0, shifted.data() + 1, m);
    CHECK(std::memcmp(first.data(), shifted.data() + 1, first.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("a large product that is cut over the workers has the same bits for any number of them") {
  const std::tuple<Trans, Trans, Index, Index, Index> cases[] = {{Trans::no, Trans::yes, 70, 5001, 40},
                                                                 {Trans::yes, Trans::no, 4100, 70, 33},
                                                                 {Trans::no, Trans::no, 257, 256, 300}};
  for (const auto& [ta, tb, m, n, k] : cases) {
    const auto a = random<float>(m * k, 1), b = random<float>(k * n, 2), old = random<float>(m * n, 3);
    auto product = [&, ta = ta, tb = tb, m = m, n = n, k = k](int threads) {
      set_threads(threads);
      std::vector<float> c = old;
      gemm<float>(ta, tb, m, n, k, 1, a.data(), ta == Trans::no ? k : m, b.data(), tb == Trans::no ? n : k, 1,
                  c.data(), n);
      return c;
    };
    const auto one = product(1);
    CHECK(one != old);
    for (int threads : {2, 3, 8}) CHECK(product(threads) == one);
  }
  set_threads(0);
}

TEST_CASE("gemm refuses sizes that BLAS cannot count") {
  float x = 0;
  const Index many = Index{1} << 31;
  CHECK_THROWS_WITH_AS(gemm<float>(Trans::no, Trans::no, 1, many, 1, 1, &x, 1, &x, many, 0, &x, many),
                       "gemm: sizes must be below 2^31; got 2147483648", Error);
}
