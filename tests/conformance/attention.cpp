// The Attention operator (opset 23 and 24): heads of 3-D or 4-D inputs, caches, masks, and the scores at any
// stage.
#include "qkv/ops/attention.h"

#include <cmath>
#include <limits>

#include "operators.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"

namespace qkv::conformance {
namespace {

const double inf = std::numeric_limits<double>::infinity();

// [B, T, H * D] or [B, H, T, D] -> [B, H, T, D]
Var heads_first(const Var& x, Index H) {
  if (x.rank() == 4) return x;
  QKV_CHECK(x.rank() == 3 && H > 0 && x.dim(2) % H == 0,
            "input must be [B, T, {} * D] or [B, H, T, D]; got {}", H, x.shape());
  return permute(reshape(x, Shape{x.dim(0), x.dim(1), H, x.dim(2) / H}), {0, 2, 1, 3});
}
// [B, H, T, D] -> [B, T, H * D]
Var packed(const Var& x) {
  return reshape(permute(x, {0, 2, 1, 3}), Shape{x.dim(0), x.dim(2), x.dim(1) * x.dim(3)});
}

// attn_mask, broadcast to [T, S] where it has no more axes, else to [B, H, T, S]; keys behind its end get
// `behind`.
Tensor full_mask(const Value& mask, const Shape& scores, double behind, Dtype dtype) {
  Var x = Tensor::from(mask.shape, mask.numbers);
  QKV_CHECK(x.rank() >= 1 && x.rank() <= 4, "attn_mask must have 1 to 4 axes; got {}", x.shape());
  const Index S = scores[3], own = x.dim(-1);
  if (own < S && (own != 1 || S == 1)) {
    Shape rest = x.shape();
    rest.set(-1, S - own);
    x = concat({x, Tensor::full(rest, behind, Dtype::f64)}, -1);
  }
  return broadcast_to(x, x.rank() <= 2 ? Shape{scores[2], S} : scores).value().to(dtype);
}

// Which keys each query may see, from the causal flag and the lengths without padding: [B, T, S].
Tensor visible(Index B, Index T, Index S, bool causal, bool has_past, Index past,
               const std::vector<Index>& lengths) {
  Tensor keep = Tensor::empty({B, T, S}, Dtype::i32);
  std::int32_t* bit = keep.data<std::int32_t>();
  for (Index b = 0; b < B; b++) {
    const Index length = lengths.empty() ? S : lengths[static_cast<std::size_t>(b)];
    const Index offset = has_past ? past : lengths.empty() ? 0 : length - T;
    for (Index t = 0; t < T; t++)
      for (Index s = 0; s < S; s++) *bit++ = s < length && (!causal || s <= t + offset);
  }
  return keep;
}

// Two masks of [T, S], [B, T, S] or [B, H, T, S] as one.
Tensor both(const Tensor& a, const Tensor& b, const Shape& scores) {
  auto four = [](const Tensor& t) {
    return t.rank() == 3 ? t.reshape(Shape{t.dim(0), 1, t.dim(1), t.dim(2)}) : t;
  };
  const Tensor x = broadcast_to(four(a), scores).value(), y = broadcast_to(four(b), scores).value();
  Tensor keep = Tensor::empty(scores, Dtype::i32);
  for (Index i = 0; i < keep.size(); i++)
    keep.data<std::int32_t>()[i] = x.data<std::int32_t>()[i] && y.data<std::int32_t>()[i];
  return keep;
}

// The scores before the softmax: raw, capped, or with bias and masks.
Var scores_at(Index stage, const Var& q, const Var& k, const AttentionOptions& o) {
  const Index group = o.n_head / o.n_kv_head, B = k.dim(0), S = k.dim(2);
  const Var wide =
      broadcast_to(reshape(k, Shape{B, o.n_kv_head, 1, S, k.dim(3)}), {B, o.n_kv_head, group, S, k.dim(3)});
  Var scores = matmul(q, transpose(reshape(wide, Shape{B, o.n_head, S, k.dim(3)}))) * o.scale;
  if (stage >= 1 && o.softcap > 0) scores = tanh(scores / o.softcap) * o.softcap;
  if (stage < 2) return scores;
  auto four = [](const Tensor& t) {
    return t.rank() == 3 ? t.reshape(Shape{t.dim(0), 1, t.dim(1), t.dim(2)}) : t;
  };
  if (o.mask.bias.defined()) scores = scores + four(o.mask.bias);
  if (o.mask.keep.defined()) scores = where(four(o.mask.keep), scores, Tensor::scalar(-inf, q.dtype()));
  return scores;
}

std::vector<Var> attention_of(Call& c) {
  const Index q_heads = c.integer("q_num_heads", 0), kv_heads = c.integer("kv_num_heads", 0);
  const Var q = heads_first(c.data(0), q_heads);
  Var k = heads_first(c.data(1), kv_heads), v = heads_first(c.data(2), kv_heads);
  const bool has_past = c.has(4), in_rows = c.data(0).rank() == 3;
  const Index past = has_past ? c.data(4).dim(2) : 0;
  if (has_past) k = concat({c.data(4), k}, 2), v = concat({c.data(5), v}, 2);

  AttentionOptions o(q.dim(1), q.dim(3));
  o.n_kv_head = k.dim(1);
  o.scale = c.real("scale", o.scale);
  o.softcap = c.real("softcap", 0.0);
  c.ignore("softmax_precision");
  const Index B = q.dim(0), T = q.dim(2), S = k.dim(2);
  const Shape scores{B, o.n_head, T, S};
  if (c.has(3)) {
    const Value& mask = c.value(3);
    if (mask.type == "bool")
      o.mask.keep = full_mask(mask, scores, 0, Dtype::i32);
    else
      o.mask.bias = full_mask(mask, scores, -inf, c.dtype());
  }
  const bool causal = c.flag("is_causal", false);
  const Index stage = c.integer("qk_matmul_output_mode", 0);
  std::vector<Index> lengths;
  if (c.has(6)) lengths = c.integers(6);
  QKV_CHECK(lengths.empty() || static_cast<Index>(lengths.size()) == B,
            "nonpad_kv_seqlen must be [{}]; got {}", B, lengths.size());
  if (causal && T == S && !has_past && lengths.empty() && stage != 2) {
    o.mask.causal = true;
  } else if (causal || !lengths.empty()) {
    const Tensor keep = visible(B, T, S, causal, has_past, past, lengths);
    o.mask.keep = o.mask.keep.defined() ? both(o.mask.keep, keep, scores) : keep;
  }
  Tensor weights;
  const Var y = attention(packed(q), packed(k), packed(v), o, &weights);
  std::vector<Var> outputs{in_rows ? y : heads_first(y, o.n_head), k, v};
  if (c.wants(3)) outputs.push_back(stage == 3 ? Var(weights) : scores_at(stage, q, k, o));
  return outputs;
}

const Counterpart kAttention("Attention", attention_of);

}  // namespace
}  // namespace qkv::conformance
