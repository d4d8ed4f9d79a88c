// Element of a vector by a signed index.
#pragma once
#include <cstddef>
#include <cstdint>

namespace qkv {

template <class Vector>
auto& at(Vector& v, std::int64_t i) {
  return v[static_cast<std::size_t>(i)];
}

}  // namespace qkv
