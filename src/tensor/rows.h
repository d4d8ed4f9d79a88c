// Rows of numbers: sums, maxima, softmax. What training, decoding and recurrent nets share, and the only
// loops with a tail beside `for_batches`. Heavy header: include it in .cpp files only.
#pragma once
#include <cmath>
#include <limits>

#include "qkv/tensor/simd.h"

namespace qkv::simd {

/// apply_beta(beta, n, out, in..., f): out[i] = beta * out[i] + f(in[i]...) for beta 0 (out is not read) or
/// 1, as `Sink::buffer` hands it out.
template <class T, class... Args>
[[gnu::always_inline]] inline void apply_beta(double beta, Index n, T* out, const Args&... in_and_f) {
  if (beta == 0.0) return apply(n, out, in_and_f...);
  last_first(
      [&](const auto& f, const auto&... in) {
        apply(n, out, out, in..., [&](auto old, auto... v) { return old + f(v...); });
      },
      in_and_f...);
}

/// y += x
template <class T>
void add(Index n, T* y, const T* x) {
  apply(n, y, y, x, [](auto a, auto b) { return a + b; });
}

/// y += factor * x
template <class T>
void add_scaled(Index n, T factor, const T* x, T* y) {
  const Batch<T> f(factor);
  apply(n, y, y, x, [&](auto a, auto b) { return a + b * f; });
}

/// y *= factor
template <class T>
void scale(Index n, T factor, T* y) {
  const Batch<T> f(factor);
  apply(n, y, [&](auto v) { return v * f; });
}

/// N elements as a vector of the compiler, whose lanes __builtin_shufflevector rearranges.
template <class T, std::size_t N>
struct Lanes {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};

template <class T, std::size_t N, std::size_t... I>
T sum_halves(const typename Lanes<T, N>::type& v, std::index_sequence<I...>) {
  const auto half = __builtin_shufflevector(v, v, I...) + __builtin_shufflevector(v, v, (I + N / 2)...);
  if constexpr (N == 2)
    return half[0];
  else
    return sum_halves<T, N / 2>(half, std::make_index_sequence<N / 4>());
}

/// Sum of the lanes, by halves. (Not xsimd::hadd: with AVX-512 g++ 12 warns of its own intrinsics there.)
template <class T>
T sum_lanes(const Batch<T>& batch) {
  constexpr std::size_t N = Batch<T>::size;
  typename Lanes<T, N>::type v;
  std::memcpy(&v, &batch, sizeof v);
  return sum_halves<T, N>(v, std::make_index_sequence<N / 2>());
}

/// sum_of<T>(n, in..., f): the sum of f(in[i]...), with four independent accumulators, in a fixed order.
template <class T, class... Args>
[[gnu::always_inline]] inline T sum_of(Index n, const Args&... in_and_f) {
  return last_first(
      [&](const auto& f, const auto&... in) {
        auto at = [&](Index i) {
          return Batch<T>(f(Whole<T>{i}.load(in)...));
        };
        constexpr Index width = kWidth<T>;
        Batch<T> a(T(0)), b(T(0)), c(T(0)), d(T(0));
        Index i = 0;
        for (; i + 4 * width <= n; i += 4 * width)
          a += at(i), b += at(i + width), c += at(i + 2 * width), d += at(i + 3 * width);
        for (; i + width <= n; i += width) a += at(i);
        T total = sum_lanes(Batch<T>((a + b) + (c + d)));
        if (i == n) return total;
        T lanes[kWidth<T>];
        const Rest<T> rest{i, n - i};
        Rest<T>{0, n - i}.store(lanes, f(rest.load(in)...));
        for (Index j = 0; i + j < n; j++) total += lanes[j];
        return total;
      },
      in_and_f...);
}
template <class T>
T sum(Index n, const T* x) {
  return sum_of<T>(n, x, [](auto v) { return v; });
}
/// Sum of the products.
template <class T>
T dot(Index n, const T* x, const T* y) {
  return sum_of<T>(n, x, y, [](auto a, auto b) { return a * b; });
}

/// Largest or smallest of n >= 1 elements; NaN where there is one.
template <bool largest, class T>
T extreme(Index n, const T* x) {
  constexpr Index width = kWidth<T>;
  alignas(64) T lane[Batch<T>::size];
  if (n >= width) {
    Batch<T> m = xsimd::load_unaligned(x);
    auto take = [&](Index i) {  // max gives its second operand where one is NaN
      const Batch<T> v = xsimd::load_unaligned(x + i);
      m = xsimd::select(xsimd::isnan(m), m, largest ? xsimd::max(m, v) : xsimd::min(m, v));
    };
    for (Index i = width; i + width <= n; i += width) take(i);
    take(n - width);  // some of these elements for the second time
    m.store_aligned(lane);
  } else {
    for (Index j = 0; j < width; j++) lane[j] = x[j < n ? j : 0];
  }
  for (Index half = width / 2; half > 0; half /= 2)
    for (Index j = 0; j < half; j++) {
      const T a = lane[j], b = lane[j + half];
      lane[j] = (largest ? a > b : a < b) | (a != a) ? a : b;
    }
  return lane[0];
}
template <class T>
T max(Index n, const T* x) {
  return extreme<true>(n, x);
}

/// log(sum(exp(x))) = top + log(sum), in two numbers, so that p = exp(x - top) / sum keeps its precision for
/// large x. Of a row of -inf, and of no element, top is -inf and sum 0.
template <class T>
struct LogSumExp {
  T top, sum;
  bool empty() const { return top == -std::numeric_limits<T>::infinity(); }
};
template <class T>
LogSumExp<T> log_sum_exp(Index n, const T* x) {
  LogSumExp<T> result{n > 0 ? max(n, x) : -std::numeric_limits<T>::infinity(), T(0)};
  if (result.empty()) return result;
  const Batch<T> top(result.top);
  result.sum = sum_of<T>(n, x, [&](auto v) { return simd::exp(v - top); });
  return result;
}

/// y = exp(x - max x) / sum(exp(x - max x)), zeros where x is -inf throughout; y may be x.
template <class T>
void softmax_row(Index n, const T* x, T* y) {
  const T largest = n > 0 ? max(n, x) : -std::numeric_limits<T>::infinity();
  if (largest == -std::numeric_limits<T>::infinity()) return void(std::fill_n(y, n, T(0)));
  const Batch<T> top(largest);
  apply(n, y, x, [&](auto v) { return simd::exp(v - top); });
  scale(n, T(1) / sum(n, y), y);
}

/// dx (+)= y (dy - sum(y dy)), the gradient of softmax_row; beta as in `apply_beta`, dx may be dy.
template <class T>
void softmax_gradient(Index n, const T* y, const T* dy, double beta, T* dx) {
  const Batch<T> mean(dot(n, y, dy));
  apply_beta(beta, n, dx, y, dy, [&](auto v, auto g) { return v * (g - mean); });
}

}  // namespace qkv::simd
