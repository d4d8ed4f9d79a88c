#include "qkv/ops/cached_attention.h"

#include <cmath>

#include "qkv/tensor/simd.h"

namespace qkv {
namespace {

// softmax of n scores in place.
template <class T>
void softmax(Index n, T* row) {
  const simd::Batch<T> top(simd::max(n, row));
  simd::apply<T>(
      n, row, [&](auto v) { return xsimd::exp(v - top); }, row);
  const simd::Batch<T> inverse(T(1) / simd::sum<T>(
                                          n, [](auto v) { return v; }, row));
  simd::apply<T>(
      n, row, [&](auto v) { return v * inverse; }, row);
}

}  // namespace

template <class T>
Tensor cached_attention(const T* q, Index ld, Index B, Index n, const Tensor& keys, const Tensor& values,
                        Index past, const AttentionOptions& o, Tensor* weights) {
  const Index H = o.n_head, H_kv = o.n_kv_head, capacity = keys.dim(2), D = keys.dim(3), S = past + n;
  QKV_CHECK(keys.shape() == values.shape() && keys.dim(0) == B && keys.dim(1) == H_kv && S <= capacity,
            "cached_attention: keys and values must be [{}, {}, at least {}, D]; got {}, {}", B, H_kv, S,
            keys.shape(), values.shape());
  Tensor y = Tensor::empty({B, n, H * D}, DtypeOf<T>::value), scores = Tensor::empty({S}, DtypeOf<T>::value);
  if (weights) *weights = Tensor::zeros({B, H, n, S}, DtypeOf<T>::value);
  T* a = scores.data<T>();
  for (Index b = 0; b < B; b++)
    for (Index h = 0; h < H; h++) {
      const Index head = (b * H_kv + h / (H / H_kv)) * capacity * D;
      const T *k = keys.data<T>() + head, *v = values.data<T>() + head;
      for (Index t = 0; t < n; t++) {
        const Index seen = past + t + 1;
        const T* query = q + (b * n + t) * ld + h * D;
        for (Index s = 0; s < seen; s++) {  // scale q . k, capped, minus the distance
          a[s] = static_cast<T>(o.scale) * simd::sum<T>(
                                               D, [](auto x, auto z) { return x * z; }, query, k + s * D);
          if (o.softcap > 0)
            a[s] = static_cast<T>(o.softcap * std::tanh(static_cast<double>(a[s]) / o.softcap));
          if (o.mask.slopes.defined()) a[s] -= o.mask.slopes.data<T>()[h] * static_cast<T>(seen - 1 - s);
        }
        softmax(seen, a);
        if (weights) std::copy_n(a, seen, weights->data<T>() + ((b * H + h) * n + t) * S);
        T* out = y.data<T>() + (b * n + t) * H * D + h * D;
        std::fill_n(out, D, T(0));
        for (Index s = 0; s < seen; s++) {
          const simd::Batch<T> w(a[s]);
          simd::apply<T>(
              D, out, [&](auto sum, auto x) { return sum + w * x; }, static_cast<const T*>(out), v + s * D);
        }
      }
    }
  return y;
}
template Tensor cached_attention(const float*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 const AttentionOptions&, Tensor*);
template Tensor cached_attention(const double*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 const AttentionOptions&, Tensor*);

}  // namespace qkv
