// map and zip: one generic lambda over xsimd batches. Heavy header: include it in .cpp files only.
#pragma once
#include <cstring>
#include <type_traits>
#include <utility>
#include <xsimd/xsimd.hpp>

#include "qkv/tensor/tensor.h"
#include "qkv/tensor/vector_math.h"

namespace qkv {
namespace simd {

template <class T>
using Batch = xsimd::batch<T>;

/// The first `count` < batch size elements of `in`; the other lanes hold 1, where most functions are finite.
template <class T>
Batch<T> load_tail(Index count, const T* in) {
  alignas(64) T lanes[Batch<T>::size];
  for (Index j = 0; j < static_cast<Index>(Batch<T>::size); j++) lanes[j] = j < count ? in[j] : T(1);
  return xsimd::load_aligned(lanes);
}

/// out[i] = f(in[i]...) for i in [0, n). `f` takes batches. The tail goes through a padded batch, so that the
/// value of an element does not depend on its position. `out` may be one of the inputs.
template <class T, class F, class... In>
void apply(Index n, T* out, F f, const In*... in) {
  constexpr Index width = static_cast<Index>(Batch<T>::size);
  Index i = 0;
  for (; i + width <= n; i += width) Batch<T>(f(xsimd::load_unaligned(in + i)...)).store_unaligned(out + i);
  if (i == n) return;
  alignas(64) T lanes[Batch<T>::size];
  Batch<T>(f(load_tail(n - i, in + i)...)).store_aligned(lanes);
  for (Index j = 0; i + j < n; j++) out[i + j] = lanes[j];
}

/// out[i] = beta * out[i] + f(in[i]...) for beta 0 (out is not read) or 1, as `Sink::buffer` hands it out.
template <class T, class F, class... In>
void apply_beta(double beta, Index n, T* out, F f, const In*... in) {
  if (beta == 0.0) return apply<T>(n, out, f, in...);
  apply<T>(
      n, out, [&](auto old, auto... v) { return old + f(v...); }, static_cast<const T*>(out), in...);
}

/// y += factor * x, elementwise.
template <class T>
void add_scaled(Index n, T factor, const T* x, T* y) {
  const Batch<T> f(factor);
  apply_beta<T>(
      1.0, n, y, [&](auto v) { return v * f; }, x);
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

/// Lane r of the result is `sum_lanes` of batch r, bit for bit, at a quarter of the cost: each pass halves
/// the number of vectors, which hold twice as many rows of half as many partial sums (`W` of each row before
/// the pass).
template <class T, std::size_t W, std::size_t... I>
typename Lanes<T, sizeof...(I)>::type sum_rows(const typename Lanes<T, sizeof...(I)>::type* v,
                                               std::index_sequence<I...> lanes) {
  typedef typename Lanes<T, sizeof...(I)>::type V;
  if constexpr (W == 1) {
    return v[0];
  } else {
    V half[W / 2];
    for (std::size_t r = 0; r < W / 2; r++)
      half[r] = __builtin_shufflevector(v[2 * r], v[2 * r + 1], (I / (W / 2) * W + I % (W / 2))...) +
                __builtin_shufflevector(v[2 * r], v[2 * r + 1], (I / (W / 2) * W + I % (W / 2) + W / 2)...);
    return sum_rows<T, W / 2>(half, lanes);
  }
}
template <class T>
Batch<T> sum_lanes_of(const Batch<T> (&rows)[Batch<T>::size]) {
  constexpr std::size_t N = Batch<T>::size;
  typename Lanes<T, N>::type v[N];
  std::memcpy(v, rows, sizeof v);
  const auto sums = sum_rows<T, N>(v, std::make_index_sequence<N>());
  Batch<T> result;
  std::memcpy(&result, &sums, sizeof result);
  return result;
}

/// Sum of f(in[i]...) with four independent accumulators, in a fixed order.
template <class T, class F, class... In>
T sum(Index n, F f, const In*... in) {
  constexpr Index width = static_cast<Index>(Batch<T>::size);
  Batch<T> a(T(0)), b(T(0)), c(T(0)), d(T(0));
  Index i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    a += f(xsimd::load_unaligned(in + i)...);
    b += f(xsimd::load_unaligned(in + i + width)...);
    c += f(xsimd::load_unaligned(in + i + 2 * width)...);
    d += f(xsimd::load_unaligned(in + i + 3 * width)...);
  }
  for (; i + width <= n; i += width) a += f(xsimd::load_unaligned(in + i)...);
  T total = sum_lanes(Batch<T>((a + b) + (c + d)));
  if (i == n) return total;
  alignas(64) T lanes[Batch<T>::size];
  Batch<T>(f(load_tail(n - i, in + i)...)).store_aligned(lanes);
  for (Index j = 0; i + j < n; j++) total += lanes[j];
  return total;
}

template <class T>
T max(Index n, const T* in) {
  constexpr Index width = static_cast<Index>(Batch<T>::size);
  T result = in[0];
  Index i = 0;
  if (n >= width) {
    Batch<T> m = xsimd::load_unaligned(in);
    for (i = width; i + width <= n; i += width) m = xsimd::max(m, Batch<T>(xsimd::load_unaligned(in + i)));
    alignas(64) T lanes[Batch<T>::size];
    m.store_aligned(lanes);
    result = lanes[0];
    for (Index j = 1; j < width; j++) result = lanes[j] > result ? lanes[j] : result;
  }
  for (; i < n; i++) result = in[i] > result ? in[i] : result;
  return result;
}

}  // namespace simd

/// f of every element, e.g. `map(x, [](auto v) { return v * v; })`. f32 and f64.
template <class F>
Tensor map(const Tensor& x, F f) {
  Tensor y = Tensor::result(x.shape(), x);
  if (y.is_symbolic()) return y;
  dispatch("map", x.dtype(), [&](auto t) {
    using T = decltype(t);
    simd::apply<T>(x.size(), y.data<T>(), f, x.data<T>());
  });
  return y;
}

/// f of the elements of tensors of equal shape and dtype.
template <class F, class... More>
Tensor zip(F f, const Tensor& a, const More&... more) {
  Tensor y = Tensor::result(a.shape(), a);
  auto check = [&](const Tensor& b) {
    QKV_CHECK(b.shape() == a.shape() && b.dtype() == a.dtype(), "zip: shapes must agree; got {} {} and {} {}",
              a.dtype(), a.shape(), b.dtype(), b.shape());
  };
  (check(more), ...);
  if (y.is_symbolic()) return y;
  dispatch("zip", a.dtype(), [&](auto t) {
    using T = decltype(t);
    simd::apply<T>(a.size(), y.data<T>(), f, a.data<T>(), more.template data<T>()...);
  });
  return y;
}

}  // namespace qkv
