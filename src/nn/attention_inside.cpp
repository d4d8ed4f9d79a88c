#include "attention_inside.h"

#include "ops/composed.h"
#include "qkv/autograd/capture.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

// `heads` heads of every row from `column` on: [B, T, heads, D].
Tensor part(const Tensor& rows, Index column, Index heads, Index D) {
  return reshape(slice(rows, -1, column, column + heads * D), {rows.dim(0), rows.dim(1), heads, D}).value();
}

// scale q k^T of each head, before any mask: [B, H, T, T].
Tensor scores(const Tensor& rows, const QkvColumns& columns, const AttentionOptions& o, Index D) {
  const Index B = rows.dim(0), T = rows.dim(1), H_kv = o.n_kv_head, group = o.n_head / H_kv;
  const Var q = permute(part(rows, columns.query, o.n_head, D), {0, 2, 1, 3}),
            k = permute(part(rows, columns.key, H_kv, D), {0, 2, 3, 1});
  const Var products = matmul(reshape(q, {B, H_kv, group, T, D}), reshape(k, {B, H_kv, 1, D, T}));
  return (reshape(products, {B, o.n_head, T, T}) * o.scale).value();
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
  offer("bias", [&] {
    const Index B = rows.dim(0), T = rows.dim(1);
    return masked_scores(Tensor::zeros({B, o.n_head, T, T}, rows.dtype()), o.mask).value();
  });
}

}  // namespace qkv
