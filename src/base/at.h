// What vectors lack: elements by a signed index, and leaving some out.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace qkv {

template <class Vector>
auto& at(Vector& v, std::int64_t i) {
  return v[static_cast<std::size_t>(i)];
}

template <class Vector, class Predicate>
void drop_if(Vector& v, Predicate unwanted) {
  v.erase(std::remove_if(v.begin(), v.end(), unwanted), v.end());
}

}  // namespace qkv
