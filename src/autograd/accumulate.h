// In-place addition of gradients.
#pragma once
#include "qkv/tensor/tensor.h"

namespace qkv {

// Adds b to a, elementwise, in place.
inline void add_to(Tensor& a, const Tensor& b) {
  dispatch("accumulate", a.dtype(), [&](auto t) {
    using T = decltype(t);
    T* __restrict pa = a.data<T>();
    const T* pb = b.data<T>();
    for (Index i = 0, n = a.size(); i < n; i++) pa[i] += pb[i];
  });
}

}  // namespace qkv
