// map and zip: one generic lambda over xsimd batches; exp, tanh, erf and the logistic function of batches,
// f32 and f64. Heavy header: include it in .cpp files only.
//
// Largest error in units of the last place, as tests/tensor/vector_math_test.cpp measures it: exp 1.1,
// tanh 1.3, erf 1.3, logistic 2.4. Underflow is gradual; infinities and NaN come out as from the C library. A
// lane has the same bits wherever it stands. (xsimd 8: exp is 0 or infinite too early, erf is off by 68 units
// in f64.) The polynomials are minimax fits (Remez), computed with 60 digits.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <xsimd/xsimd.hpp>

#include "qkv/tensor/tensor.h"

namespace qkv::simd {
namespace vector_math {

template <class T>
struct Constants;

template <>
struct Constants<float> {
  using Bits = std::int32_t;
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float lowest = -104.0f, highest = 89.0f;                      // exp is 0 and inf beyond
  static constexpr float tanh_one = 10.0f, tanh_split = 0.625f, erf_one = 4.0f;  // 1 beyond
  static constexpr float exp[] = {0.50000000609596854f, 0.16666541743757879f, 0.041666278175007372f,
                                  0.0083668968921290652f, 0.0013946965089570317f};
  static constexpr float tanh[] = {-0.33333291209147149f, 0.13331462449299279f, -0.053729677822180434f,
                                   0.020580398119644874f, -0.0056186077477146568f};
  static constexpr float erf[] = {0.12837916572955937f,    -0.37612625837465104f,  0.11283585248605635f,
                                  -0.026853814582072517f,  0.0051883304825924878f, -0.00080102026992725068f,
                                  0.000078538498284294089f};
  static constexpr float erfc[] = {1.8496055163992307f,     2.6389668168586836f,     0.84311832032975017f,
                                   0.041500762923082983f,   -0.0098910417257136292f, 0.0018262928960642156f,
                                   -0.00018561349544923511f};
};

template <>
struct Constants<double> {
  using Bits = std::int64_t;
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 0.693145751953125, ln2_low = 1.42860682030941723212e-6;
  static constexpr double lowest = -746.0, highest = 710.0;
  static constexpr double tanh_one = 20.0, tanh_split = 0.625, erf_one = 6.0;
  static constexpr double exp[] = {
      0.49999999999999999987,   0.16666666666666676356, 0.041666666666666701998,   0.0083333333333215385937,
      0.0013888888888865915152, 0.00019841269886892065, 0.00002480158736301267237, 2.7557242993303182e-6,
      2.7557240340198935e-7,    2.5109593289667519e-8,  2.0925253256162334e-9};
  static constexpr double tanh[] = {
      -0.33333333333333162279, 0.13333333333280767921, -0.053968253932838539837,  0.021869487499482706902,
      -0.0088632189586551095,  0.0035919666901970424,  -0.0014548212872504421666, 0.00058581361103714590,
      -0.00022747142825683453, 0.00007584066744650519, -0.000015414456320657017};
  static constexpr double erf[] = {
      0.12837916709551257375,    -0.37612638903183747615,     0.11283791670954857915,
      -0.026866170645072959249,  0.0052239776247813697943,    -0.00085483269787651488163,
      0.00012055331037551108097, -0.000014925593518728226688, 1.646097295415376567e-6,
      -1.6350026192077268531e-7, 1.4657883530919653519e-8,    -1.1365670671827159274e-9,
      5.9452555842234874355e-11};
  static constexpr double erfc[] = {
      1.8496055099332482562,      2.6389675142347882582,       0.84310725635867660543,
      0.041561098041811340506,    -0.010033825374426604895,    0.0019779025679510999097,
      -0.00023732248131911864752, -0.000026277876336613757625, 0.000027159116480391282491,
      -9.6089091067921669934e-6,  2.0597840772852204194e-6,    -1.4288689786991938024e-7,
      -9.7539511674052137627e-8,  5.203400959499765027e-8,     -1.4910091407301180195e-8,
      2.8637075120821392554e-9,   -3.6819433178226162881e-10,  2.881041774138110094e-11,
      -1.0388788839884028815e-12};
};

template <class B>
using Of = Constants<typename B::value_type>;

/// The bits of a batch as another batch.
template <class To, class From>
To reinterpret(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), sizeof to);
  return to;
}

/// c[first] + c[first + step] x + ... by Horner's rule.
template <std::size_t step, class B, std::size_t N>
B horner(const B& x, const typename B::value_type (&c)[N], std::size_t first) {
  const std::size_t last = first + (N - 1 - first) / step * step;
  B sum(c[last]);
#pragma GCC unroll 32
  for (std::size_t i = last; i > first; i -= step) sum = xsimd::fma(sum, x, B(c[i - step]));
  return sum;
}

/// c[0] + c[1] x + ...; long ones by even and odd powers, two chains that run side by side.
template <class B, std::size_t N>
B polynomial(const B& x, const typename B::value_type (&c)[N]) {
  if (N < 6) return horner<1>(x, c, 0);
  const B square = x * x;
  return xsimd::fma(horner<2>(square, c, 1), x, horner<2>(square, c, 0));
}

/// 2^n from `shifted` = n + round + bias, whose last bits are those of the exponent.
template <class B>
B power_of_two(const B& shifted) {
  using Bits = xsimd::batch<typename Of<B>::Bits, typename B::arch_type>;
  return reinterpret<B>(Bits(reinterpret<Bits>(shifted) << Of<B>::mantissa));
}

/// x = n ln 2 + r with integer n and |r| <= ln 2 / 2, and tail = exp(r) - 1 = r + r^2 P(r). Adding `round`
/// leaves the integer part in the last bits of the sum.
template <class B>
struct Reduced {
  B n, tail;
  explicit Reduced(const B& x) {
    using C = Of<B>;
    const B magic(C::round + C::bias);
    shifted = xsimd::fma(x, B(typename B::value_type(1.44269504088896340736)), magic);
    n = shifted - magic;
    const B r = xsimd::fma(n, B(-C::ln2_low), xsimd::fma(n, B(-C::ln2_high), x));
    tail = xsimd::fma(r * r, polynomial(r, C::exp), r);
  }
  B shifted;  // n + magic
};

}  // namespace vector_math

/// e^x. 2^n is multiplied in two halves, so that results below the normal range and up to the largest number
/// come out right. Where the result is 0, as for masked scores, 1 is computed instead: the CPU takes a hundred
/// cycles for a product that underflows.
template <class B>
B exp(const B& x) {
  using namespace vector_math;
  using C = Of<B>;
  using T = typename B::value_type;
  const B magic(C::round + C::bias), zero(T(0));
  const auto vanishes = x < B(C::lowest);
  const Reduced<B> e(xsimd::min(B(C::highest), xsimd::select(vanishes, zero, x)));  // a NaN comes through second
  const B half = xsimd::fma(e.n, B(T(0.5)), magic);
  const B rest = e.n - (half - magic) + magic;
  const B first = power_of_two(half);
  return xsimd::select(vanishes, zero, xsimd::fma(first, e.tail, first) * power_of_two(rest));
}

/// 1 / (1 + e^-x)
template <class B>
B logistic(const B& x) {
  const B one(typename B::value_type(1));
  return one / (one + simd::exp(-x));
}

/// x + x^3 P(x^2) for small |x|; beyond, 1 - 2 / (e^(2 |x|) + 1).
template <class B>
B tanh(const B& x) {
  using namespace vector_math;
  using C = Of<B>;
  using T = typename B::value_type;
  const B a = xsimd::min(B(C::tanh_one), xsimd::abs(x)), square = x * x, one(T(1));
  const B inner = xsimd::fma(square * x, polynomial(square, C::tanh), x);
  const Reduced<B> e(a + a);
  const B power = power_of_two(e.shifted);
  const B outer = one - B(T(2)) / (one + xsimd::fma(power, e.tail, power));
  return xsimd::copysign(xsimd::select(a < B(C::tanh_split), inner, outer), x);  // also of -0
}

/// x + x P(x^2) below 1; beyond, 1 - exp(-Q(|x| - 1)) with Q = -log erfc.
template <class B>
B erf(const B& x) {
  using namespace vector_math;
  using C = Of<B>;
  using T = typename B::value_type;
  const B a = xsimd::min(B(C::erf_one), xsimd::abs(x)), one(T(1));
  const B inner = xsimd::fma(x, polynomial(B(x * x), C::erf), x);
  const Reduced<B> e(-polynomial(B(a - one), C::erfc));
  const B power = power_of_two(e.shifted);
  const B outer = one - xsimd::fma(power, e.tail, power);
  return xsimd::select(a < one, inner, xsimd::copysign(outer, x));
}

}  // namespace qkv::simd

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
