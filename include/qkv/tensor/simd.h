// map and zip: one generic lambda over xsimd batches. Heavy header: include it in .cpp files only.
#pragma once
#include <type_traits>
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

/// Sum of the lanes, by halves. (Not xsimd::hadd: with AVX-512 g++ 12 warns of its own intrinsics there.)
template <class T>
T sum_lanes(const Batch<T>& batch) {
  alignas(64) T lanes[Batch<T>::size];
  batch.store_aligned(lanes);
  for (std::size_t half = Batch<T>::size / 2; half > 0; half /= 2)
    for (std::size_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
  return lanes[0];
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
