#include "ops/cached_attention.h"

#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

// The other uses are tested where a cache is filled: tests/model/decoder_lm_test.cpp.
TEST_CASE(
    "attention over a cache equals attention over the whole text, with scale, softcap, distances, window") {
  const Index B = 2, T = 5, H = 4, H_kv = 2, D = 3, past = 3;
  const Tensor q = normal({B, T, H * D}, Dtype::f64, 1), k = normal({B, T, H_kv * D}, Dtype::f64, 2),
               v = normal({B, T, H_kv * D}, Dtype::f64, 3);
  // [B, T, H_kv * D] -> [B, H_kv, capacity, D]
  auto cached = [&](const Tensor& x) {
    Tensor all = Tensor::zeros({B, H_kv, 8, D}, Dtype::f64);
    for (Index b = 0; b < B; b++)
      for (Index t = 0; t < T; t++)
        for (Index h = 0; h < H_kv; h++)
          for (Index i = 0; i < D; i++)
            all.data<double>()[((b * H_kv + h) * 8 + t) * D + i] = x.at((b * T + t) * H_kv * D + h * D + i);
    return all;
  };
  for (const double softcap : {0.0, 0.7})
    for (const int features : {0, 1, 2, 3, 4, 6}) {
      AttentionOptions options(H, D);
      options.n_kv_head = H_kv;
      options.softcap = softcap;
      options.mask.causal = true;
      const Tensor table = normal({B, T, H, 5}, Dtype::f64, 4);
      if (features & 1) options.mask.relative = normal({H, 2 * T - 1}, Dtype::f64, 4);
      if (features & 2) options.mask.window = 2;
      if (features & 4) options.mask.relative = table;
      Tensor all_weights, weights;
      const Tensor all = attention(q, k, v, options, &all_weights).value();
      Tensor last = Tensor::empty({B, T - past, H * D}, Dtype::f64);
      for (Index b = 0; b < B; b++)
        std::copy_n(q.data<double>() + (b * T + past) * H * D, (T - past) * H * D,
                    last.data<double>() + b * (T - past) * H * D);
      if (features & 4) {
        Tensor rows = Tensor::empty({B, T - past, H, 5}, Dtype::f64);
        for (Index b = 0; b < B; b++)
          std::copy_n(table.data<double>() + (b * T + past) * H * 5, (T - past) * H * 5,
                      rows.data<double>() + b * (T - past) * H * 5);
        options.mask.relative = rows;
      }
      const Tensor y = cached_attention<double>(last.data<double>(), H * D, B, T - past, cached(k), cached(v),
                                                past, options, &weights);
      for (Index b = 0; b < B; b++)
        for (Index i = 0; i < (T - past) * H * D; i++)
          CHECK(y.at(b * (T - past) * H * D + i) == doctest::Approx(all.at((b * T + past) * H * D + i)));
      CHECK(weights.shape() == Shape{B, H, T - past, T});
      for (Index t = 0; t < T - past; t++)
        for (Index s = 0; s < T; s++)
          CHECK(weights.at(t * T + s) == doctest::Approx(all_weights.at((past + t) * T + s)));
    }
}
