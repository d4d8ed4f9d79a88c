// Dtype: the element types of a tensor, and dispatch from run time to compile time.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "qkv/base/error.h"

namespace qkv {

enum class Dtype : std::uint8_t { f32, f64, i32 };

const char* name_of(Dtype dtype);
/// Of all, in their order, as configs have them.
std::vector<std::string> names_of(Dtype);
std::size_t size_of(Dtype dtype);

template <class T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::f32;
};
template <>
struct DtypeOf<double> {
  static constexpr Dtype value = Dtype::f64;
};
template <>
struct DtypeOf<std::int32_t> {
  static constexpr Dtype value = Dtype::i32;
};

/// Calls `f(T{})` with T = float, double or std::int32_t.
template <class F>
auto dispatch_all(Dtype dtype, F&& f) {
  return dtype == Dtype::f32 ? f(float{}) : dtype == Dtype::f64 ? f(double{}) : f(std::int32_t{});
}

/// Calls `f(T{})` with T = float or double. Throws `op: dtype must be f32 or f64; got i32`.
template <class F>
auto dispatch(const char* op, Dtype dtype, F&& f) {
  QKV_CHECK(dtype != Dtype::i32, "{}: dtype must be f32 or f64; got i32", op);
  return dtype == Dtype::f32 ? f(float{}) : f(double{});
}

}  // namespace qkv

template <>
struct fmt::formatter<qkv::Dtype> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(qkv::Dtype dtype, Context& context) const {
    const std::string text = qkv::name_of(dtype);
    return std::copy(text.begin(), text.end(), context.out());
  }
};
