#include "ops/cached_attention.h"

#include "attention_kernel.h"

namespace qkv {
namespace {

// out[d] = sum over s of a[s] v[s, d]: the sums of up to four batches of columns stay in registers.
template <class T>
void weighted_sum(Index S, Index D, const T* a, const T* v, T* out) {
  using Batch = simd::Batch<T>;
  constexpr Index width = simd::kWidth<T>;
  Index d = 0;
  auto columns = [&](auto count) {
    constexpr Index N = decltype(count)::value;
    for (; d + N * width <= D; d += N * width) {
      Batch sum[std::size_t(N)];
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
                        Index past, AttentionOptions o, Tensor* weights) {
  const Index H = o.n_head, H_kv = o.n_kv_head, capacity = keys.dim(2), D = keys.dim(3), S = past + n;
  const Dtype dtype = DtypeOf<T>::value;
  QKV_CHECK(keys.shape() == values.shape() && keys.dim(0) == B && keys.dim(1) == H_kv && S <= capacity,
            "cached_attention: keys and values must be [{}, {}, at least {}, D]; got {}, {}", B, H_kv, S,
            keys.shape(), values.shape());
  const Tensor slopes = o.mask.slopes;
  o.mask = {};
  o.mask.causal = true, o.mask.slopes = slopes;
  const attention_kernel::AttentionShape shape(B, n, S, D, D, dtype, o);
  Tensor y = Tensor::empty({B, n, H * D}, dtype), scores = Tensor::empty({S}, dtype);
  if (weights) *weights = Tensor::empty({B, H, n, S}, dtype);
  for (Index b = 0; b < B; b++)
    for (Index h = 0; h < H; h++) {
      const Index head = (b * H_kv + h / (H / H_kv)) * capacity * D;
      const T *k = keys.data<T>() + head, *v = values.data<T>() + head;
      for (Index t = 0; t < n; t++) {
        const Index seen = past + t + 1;
        T* a = weights ? weights->data<T>() + ((b * H + h) * n + t) * S : scores.data<T>();
        gemm<T>(Trans::no, Trans::yes, 1, seen, D, T(o.scale), q + (b * n + t) * ld + h * D, D, k, D, 0, a,
                seen);
        attention_kernel::weights_of_query(shape, b, h, t, a);
        weighted_sum(seen, D, a, v, y.data<T>() + (b * n + t) * H * D + h * D);
      }
    }
  return y;
}
template Tensor cached_attention(const float*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 AttentionOptions, Tensor*);
template Tensor cached_attention(const double*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 AttentionOptions, Tensor*);

}  // namespace qkv
