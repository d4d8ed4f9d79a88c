#include "attention_inside.h"

#include <cmath>
#include <limits>

#include "qkv/autograd/capture.h"

namespace qkv {
namespace {

// scale * q k^T of each head, before any mask: [B, H, T, T].
Tensor scores(const Tensor& rows, const QkvColumns& columns, const AttentionOptions& o, Index D) {
  const Index B = rows.dim(0), T = rows.dim(1), ld = rows.dim(2), H = o.n_head, group = H / o.n_kv_head;
  Tensor out = Tensor::empty({B, H, T, T}, rows.dtype());
  dispatch("scores", rows.dtype(), [&](auto zero) {
    using X = decltype(zero);
    const X* x = rows.data<X>();
    X* to = out.data<X>();
    for (Index b = 0; b < B; b++)
      for (Index h = 0; h < H; h++)
        for (Index t = 0; t < T; t++)
          for (Index s = 0; s < T; s++) {
            const X* query = x + (b * T + t) * ld + columns.query + h * D;
            const X* key = x + (b * T + s) * ld + columns.key + h / group * D;
            double sum = 0;
            for (Index i = 0; i < D; i++) sum += static_cast<double>(query[i]) * static_cast<double>(key[i]);
            *to++ = static_cast<X>(o.scale * sum);
          }
  });
  return out;
}

// `heads` heads of every row from `column` on: [B, T, heads, D].
Tensor part(const Tensor& rows, Index column, Index heads, Index D) {
  const Index n = rows.dim(0) * rows.dim(1), ld = rows.dim(2), width = heads * D;
  Tensor out = Tensor::empty({rows.dim(0), rows.dim(1), heads, D}, rows.dtype());
  dispatch("attention", rows.dtype(), [&](auto zero) {
    using X = decltype(zero);
    for (Index r = 0; r < n; r++)
      std::copy_n(rows.data<X>() + r * ld + column, width, out.data<X>() + r * width);
  });
  return out;
}

// Element (b, h, t, s) of x [T, S], [B, T, S] or [B, H, T, S].
double element(const Tensor& x, Index b, Index h, Index t, Index s) {
  const Index T = x.dim(-2), S = x.dim(-1);
  const Index matrix = x.rank() == 2 ? 0 : x.rank() == 3 ? b : b * x.dim(1) + h;
  return x.at((matrix * T + t) * S + s);
}

// What is added to the scores: ALiBi and biases, -inf where a key may not be seen. [B, H, T, T]
Tensor bias(const AttentionMask& m, Index B, Index H, Index T) {
  Tensor out = Tensor::empty({B, H, T, T});
  float* to = out.data<float>();
  for (Index b = 0; b < B; b++)
    for (Index h = 0; h < H; h++)
      for (Index t = 0; t < T; t++)
        for (Index s = 0; s < T; s++) {
          const bool seen = !(m.causal && s > t) &&
                            !(m.key_keep.defined() && m.key_keep.at(b * T + s) == 0) &&
                            !(m.keep.defined() && element(m.keep, b, h, t, s) == 0);
          double sum = m.bias.defined() ? element(m.bias, b, h, t, s) : 0;
          if (m.slopes.defined()) sum -= m.slopes.at(h) * static_cast<double>(std::abs(t - s));
          *to++ = seen ? static_cast<float>(sum) : -std::numeric_limits<float>::infinity();
        }
  return out;
}

}  // namespace

void offer_inside(const std::string& path, const Tensor& rows, const QkvColumns& columns,
                  const AttentionOptions& o, Index D) {
  auto offer = [&](const char* name, auto&& make) {
    if (Capture* capture = Capture::wanting(name)) capture->put(path, name, make());
  };
  offer("scores", [&] { return scores(rows, columns, o, D); });
  offer("queries", [&] { return part(rows, columns.query, o.n_head, D); });
  offer("keys", [&] { return part(rows, columns.key, o.n_kv_head, D); });
  offer("values", [&] { return part(rows, columns.value, o.n_kv_head, D); });
  offer("scale", [&] { return Tensor::scalar(o.scale, Dtype::f64); });
  offer("bias", [&] { return bias(o.mask, rows.dim(0), o.n_head, rows.dim(1)); });
}

}  // namespace qkv
