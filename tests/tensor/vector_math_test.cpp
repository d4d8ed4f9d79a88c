#include "qkv/tensor/simd.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace qkv;

namespace {

// Distance of `got` from `exact` in units of the last place of the latter, which below the normal range stay
// as they are at its edge. Infinite when only one of them is not finite.
template <class T>
double ulps(T got, long double exact) {
  const T near = static_cast<T>(exact);
  if (std::isnan(near) || std::isinf(near) || !std::isfinite(got))
    return got == near || (std::isnan(got) && std::isnan(near)) ? 0 : INFINITY;
  using Limits = std::numeric_limits<T>;
  int exponent = 0;
  std::frexp(near, &exponent);
  const int last = std::max(exponent, Limits::min_exponent) - Limits::digits;
  return static_cast<double>(std::abs(static_cast<long double>(got) - exact) / std::ldexp(1.0L, last));
}

// Worst error over evenly spread points of [low, high].
template <class T, class F>
double worst(F f, long double (*exact)(long double), double low, double high) {
  using B = xsimd::batch<T>;
  constexpr int points = 200000, width = static_cast<int>(B::size);
  alignas(64) T x[B::size], y[B::size];
  double result = 0;
  for (int i = 0; i < points; i += width) {
    for (int j = 0; j < width; j++) x[j] = static_cast<T>(low + (high - low) * (i + j) / points);
    B(f(B(xsimd::load_aligned(x)))).store_aligned(y);
    for (int j = 0; j < width; j++) result = std::max(result, ulps(y[j], exact(x[j])));
  }
  return result;
}

template <class T, class F>
T one(F f, T x) {
  using B = xsimd::batch<T>;
  alignas(64) T y[B::size];
  B(f(B(x))).store_aligned(y);
  return y[0];
}

const auto kExp = [](auto v) {
  return simd::exp(v);
};
const auto kTanh = [](auto v) {
  return simd::tanh(v);
};
const auto kErf = [](auto v) {
  return simd::erf(v);
};
const auto kLogistic = [](auto v) {
  return simd::logistic(v);
};

long double exact_exp(long double x) {
  return std::exp(x);
}
long double exact_tanh(long double x) {
  return std::tanh(x);
}
long double exact_erf(long double x) {
  return std::erf(x);
}
long double exact_logistic(long double x) {
  return 1 / (1 + std::exp(-x));
}

#if defined(__FMA__) && defined(__OPTIMIZE__)
constexpr double kSlack = 0;
#else
constexpr double kSlack = 1;  // products are rounded before they are added
#endif

}  // namespace

TEST_CASE_TEMPLATE("vectorised exp, tanh, erf and logistic keep their stated accuracy", T, float, double) {
  const double lowest = sizeof(T) == 4 ? -104 : -746, highest = sizeof(T) == 4 ? 89 : 710;
  for (double scale : {1.0, 1e-2, 1e-5, 1e-30}) {
    CAPTURE(scale);
    CHECK(worst<T>(kExp, exact_exp, lowest * scale, highest * scale) <= 1.1 + kSlack);
    CHECK(worst<T>(kTanh, exact_tanh, -21 * scale, 21 * scale) <= 1.35 + kSlack);
    CHECK(worst<T>(kErf, exact_erf, -7 * scale, 7 * scale) <= 1.3 + kSlack);
    CHECK(worst<T>(kLogistic, exact_logistic, 0.83 * lowest * scale, highest * scale) <= 2.45 + kSlack);
  }
  CHECK(worst<T>(kExp, exact_exp, -1, 1) <= 1.1 + kSlack);
  CHECK(worst<T>(kTanh, exact_tanh, -1, 1) <= 1.35 + kSlack);
  CHECK(worst<T>(kErf, exact_erf, -1.5, 1.5) <= 1.3 + kSlack);
  CHECK(worst<T>(kLogistic, exact_logistic, -5, 5) <= 2.45 + kSlack);
}

TEST_CASE_TEMPLATE("they map infinities, zeros, NaN and numbers below the normal range as the C library", T,
                   float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), tiny = std::numeric_limits<T>::denorm_min();
  CHECK(one<T>(kExp, infinity) == infinity);
  CHECK(one<T>(kExp, -infinity) == 0);
  CHECK(one<T>(kExp, 0) == 1);
  CHECK(one<T>(kExp, std::numeric_limits<T>::max()) == infinity);
  CHECK(one<T>(kExp, std::log(std::numeric_limits<T>::min()) - 3) > 0);
  for (T x : {infinity, std::numeric_limits<T>::max(), T(100)}) {
    CHECK(one<T>(kTanh, x) == 1);
    CHECK(one<T>(kTanh, -x) == -1);
    CHECK(one<T>(kErf, x) == 1);
    CHECK(one<T>(kErf, -x) == -1);
    CHECK(one<T>(kLogistic, x) == 1);
  }
  CHECK(one<T>(kLogistic, -infinity) == 0);
  for (T x : {T(0), tiny}) {
    CHECK(one<T>(kTanh, x) == x);
    CHECK(one<T>(kErf, x) == x);
    CHECK(std::signbit(one<T>(kTanh, -x)));
    CHECK(std::signbit(one<T>(kErf, -x)));
  }
  CHECK(std::isnan(one<T>(kExp, std::nan(""))));
  CHECK(std::isnan(one<T>(kTanh, std::nan(""))));
  CHECK(std::isnan(one<T>(kErf, std::nan(""))));
  CHECK(std::isnan(one<T>(kLogistic, std::nan(""))));
}
