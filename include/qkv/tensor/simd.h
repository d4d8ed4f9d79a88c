// map and zip: one generic lambda over xsimd batches. Heavy header: include it in .cpp files only.
#pragma once
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <xsimd/xsimd.hpp>

#include "qkv/tensor/tensor.h"
#include "qkv/tensor/vector_math.h"

namespace qkv {
namespace simd {

template <class T>
using Batch = xsimd::batch<T>;
template <class T>
constexpr Index kWidth = Index(Batch<T>::size);

/// A batch of elements from `i` on. It is read from pointers, or from anything else with `at(i)` and `[i]`.
template <class T>
struct Whole {
  Index i;
  template <class In>
  Batch<T> load(const In& in) const {
    if constexpr (std::is_pointer_v<In>)
      return xsimd::load_unaligned(in + i);
    else
      return in.at(i);
  }
  void store(T* out, const Batch<T>& v) const { v.store_unaligned(out + i); }
};

/// The last batch of a row, of which `count` elements exist; the other lanes are read as 1, where most
/// functions are finite, and not written.
template <class T>
struct Rest {
  Index i, count;
  template <class In>
  Batch<T> load(const In& in) const {
    alignas(64) T lanes[kWidth<T>];
    for (Index j = 0; j < kWidth<T>; j++) lanes[j] = j < count ? in[i + j] : T(1);
    return xsimd::load_aligned(lanes);
  }
  void store(T* out, const Batch<T>& v) const {
    alignas(64) T lanes[kWidth<T>];
    v.store_aligned(lanes);
    for (Index j = 0; j < count; j++) out[i + j] = lanes[j];
  }
};

/// Calls f(at) for the batches of n elements, `at` being a Whole or the Rest: the one loop with a tail. The
/// value of an element does not depend on its position. (Inlined always: called, it would read what the
/// lambda holds from memory for each batch.)
template <class T, class F>
[[gnu::always_inline]] inline void for_batches(Index n, F f) {
  Index i = 0;
  for (; i + kWidth<T> <= n; i += kWidth<T>) f(Whole<T>{i});
  if (i < n) f(Rest<T>{i, n - i});
}

template <class G, class Args, std::size_t... I>
[[gnu::always_inline]] inline auto last_first(const G& g, const Args& args, std::index_sequence<I...>) {
  return g(std::get<sizeof...(I)>(args), std::get<I>(args)...);
}
/// g(f, in...) for arguments in..., f: functions that take a lambda take it last.
template <class G, class... Args>
[[gnu::always_inline]] inline auto last_first(const G& g, const Args&... args) {
  return last_first(g, std::tie(args...), std::make_index_sequence<sizeof...(Args) - 1>());
}

/// apply(n, out, in..., f): out[i] = f(in[i]...) for i in [0, n), f of batches. `out` may be one of the
/// inputs, and is the input where none is given.
template <class T, class... Args>
[[gnu::always_inline]] inline void apply(Index n, T* out, const Args&... in_and_f) {
  last_first(
      [&](const auto& f, const auto&... in) {
        for_batches<T>(n, [&](auto at) {
          if constexpr (sizeof...(in) == 0)
            at.store(out, f(at.load(out)));
          else
            at.store(out, f(at.load(in)...));
        });
      },
      in_and_f...);
}

}  // namespace simd

/// f of every element, e.g. `map(x, [](auto v) { return v * v; })`. f32 and f64.
template <class F>
Tensor map(const Tensor& x, F f) {
  Tensor y = Tensor::result(x.shape(), x);
  if (y.is_symbolic()) return y;
  dispatch("map", x.dtype(), [&](auto t) {
    using T = decltype(t);
    simd::apply(x.size(), y.data<T>(), x.data<T>(), f);
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
    simd::apply(a.size(), y.data<T>(), a.data<T>(), more.template data<T>()..., f);
  });
  return y;
}

}  // namespace qkv
