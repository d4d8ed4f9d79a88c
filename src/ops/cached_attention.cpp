#include "ops/cached_attention.h"

#include "attention_scores.h"
#include "qkv/base/threads.h"
#include "tensor/bf16.h"
#include "tensor/gemm_kernel.h"

namespace qkv {

// out[d] = sum over s of a[s] v[s, d]: the sums of up to four batches of columns stay in registers.
template <class T>
static void weighted_sum(Index S, Index D, const T* a, const T* v, T* out) {
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

template <class T>
Tensor cached_attention(const T* q, Index ld, Index B, Index n, const Tensor& keys, const Tensor& values,
                        Index past, AttentionOptions o, Tensor* weights) {
  const Index H = o.n_head, H_kv = o.n_kv_head, capacity = keys.dim(2), D = keys.dim(3), S = past + n;
  const Dtype dtype = DtypeOf<T>::value;
  QKV_CHECK(keys.shape() == values.shape() && keys.dim(0) == B && keys.dim(1) == H_kv && S <= capacity,
            "cached_attention: keys and values must be [{}, {}, at least {}, D]; got {}, {}", B, H_kv, S,
            keys.shape(), values.shape());
  AttentionMask mask;
  mask.causal = true, mask.relative = o.mask.relative, mask.window = o.mask.window;
  o.mask = mask;
  const attention_kernel::AttentionShape shape(B, n, S, D, D, dtype, o);
  Tensor y = Tensor::empty({B, n, H * D}, dtype), scores = Tensor::empty({B, H, S + D}, dtype);
  if (weights) *weights = Tensor::empty({B, H, n, S}, dtype);
  auto one_head = [&](Index b, Index h) {
    const Index head = (b * H_kv + h / (H / H_kv)) * capacity * D;
    const T *k = keys.data<T>() + head, *v = values.data<T>() + head;
    T* own = scores.data<T>() + (b * H + h) * (S + D);
    for (Index t = 0; t < n; t++) {
      const Index first = shape.start_of(b, t), seen = past + t + 1 - first;
      T *row = weights ? weights->data<T>() + ((b * H + h) * n + t) * S : own, *a = row + first,
        *query = own + S;
      std::copy_n(q + (b * n + t) * ld + h * D, D, query);
      bf16::round_if_chosen(D, query);
      gemm_kernel::dots<T>(1, seen, D, query, D, k + first * D, D, {a, seen, T(o.scale), 0, a, seen});
      attention_kernel::score(shape, b, h, t, first, seen, a);
      simd::softmax_row(seen, a, a);
      std::fill(row, a, T(0)), std::fill(a + seen, row + S, T(0));
      if (weights) std::copy_n(a, seen, own + first);
      bf16::round_if_chosen(seen, own + first);
      weighted_sum(seen, D, own + first, v + first * D, y.data<T>() + (b * n + t) * H * D + h * D);
    }
  };
  // Keys and values of many tokens are read by all workers; a head is always of one task.
  constexpr Index kMany = 32 * 1024;
  if (n * S * D * H >= kMany)
    pool().run(int(B * H), [&](int task, int) { one_head(task / H, task % H); });
  else
    for (Index head = 0; head < B * H; head++) one_head(head / H, head % H);
  return y;
}
template Tensor cached_attention(const float*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 AttentionOptions, Tensor*);
template Tensor cached_attention(const double*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 AttentionOptions, Tensor*);

}  // namespace qkv
