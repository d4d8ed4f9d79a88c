#include "ops/cached_attention.h"

#include <cmath>

#include "qkv/tensor/gemm.h"
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

// out[d] = sum over s of a[s] v[s, d]: the sums of up to four batches of columns stay in registers.
template <class T>
void weighted_sum(Index S, Index D, const T* a, const T* v, T* out) {
  using Batch = simd::Batch<T>;
  constexpr Index width = static_cast<Index>(Batch::size);
  Index d = 0;
  auto columns = [&](auto count) {
    constexpr Index N = decltype(count)::value;
    for (; d + N * width <= D; d += N * width) {
      Batch sum[N];
      for (Batch& each : sum) each = Batch(T(0));
      for (Index s = 0; s < S; s++)
        for (Index i = 0; i < N; i++)
          sum[i] = xsimd::fma(Batch(a[s]), Batch(xsimd::load_unaligned(v + s * D + d + i * width)), sum[i]);
      for (Index i = 0; i < N; i++) sum[i].store_unaligned(out + d + i * width);
    }
  };
  columns(std::integral_constant<Index, 4>());
  columns(std::integral_constant<Index, 2>());
  columns(std::integral_constant<Index, 1>());
  for (; d < D; d++) {
    T sum = 0;
    for (Index s = 0; s < S; s++) sum += a[s] * v[s * D + d];
    out[d] = sum;
  }
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
        gemm<T>(Trans::no, Trans::yes, 1, seen, D, static_cast<T>(o.scale), query, D, k, D, 0, a, seen);
        if (o.softcap > 0)
          for (Index s = 0; s < seen; s++)
            a[s] = static_cast<T>(o.softcap * std::tanh(static_cast<double>(a[s]) / o.softcap));
        if (o.mask.slopes.defined())
          for (Index s = 0; s < seen; s++) a[s] -= o.mask.slopes.data<T>()[h] * static_cast<T>(seen - 1 - s);
        softmax(seen, a);
        if (weights) std::copy_n(a, seen, weights->data<T>() + ((b * H + h) * n + t) * S);
        weighted_sum(seen, D, a, v, y.data<T>() + (b * n + t) * H * D + h * D);
      }
    }
  return y;
}
template Tensor cached_attention(const float*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 const AttentionOptions&, Tensor*);
template Tensor cached_attention(const double*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 const AttentionOptions&, Tensor*);

}  // namespace qkv
