// What vectors lack: elements by a signed index, leaving some out, and what a function makes of each.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace qkv {

template <class Vector>
auto& at(Vector& v, std::int64_t i) {
  return v[std::size_t(i)];
}

template <class Vector, class Predicate>
void drop_if(Vector& v, Predicate unwanted) {
  v.erase(std::remove_if(v.begin(), v.end(), unwanted), v.end());
}

/// f(element) of each element of a list, in order.
template <class List, class F>
auto mapped(const List& list, F f) {
  std::vector<std::decay_t<decltype(f(*std::begin(list)))>> results;
  for (const auto& element : list) results.push_back(f(element));
  return results;
}

}  // namespace qkv
