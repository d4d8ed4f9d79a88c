#include "qkv/nn/cross_attention.h"

#include "qkv/autograd/capture.h"
#include "qkv/ops/linear.h"

namespace qkv {

CrossAttention::CrossAttention(const Scope& s, const AttentionConfig& c, Index width, Index memory_width)
    : options(c.options(width)), path(s.path()) {
  const Index queries = options.n_head * c.head_width(width), keys = options.n_kv_head * c.head_width(width);
  W_Q = s.param("W_Q", {queries, width}, init::xavier());
  W_K = s.param("W_K", {keys, memory_width}, init::xavier());
  W_V = s.param("W_V", {keys, memory_width}, init::xavier());
  W_O = s.param("W_O", {width, queries}, init::xavier());
  if (!c.bias) return;
  b_Q = s.param("b_Q", {queries});
  b_K = s.param("b_K", {keys});
  b_V = s.param("b_V", {keys});
  b_O = s.param("b_O", {width});
}

Var CrossAttention::operator()(const Var& x, const Context& context) const {
  LayerPath here(path);
  QKV_CHECK(context.memory.defined() || context.cache, "cross-attention: there must be a memory; got none");
  AttentionOptions o = options;
  o.mask.key_keep = context.memory_keep;
  KeyValueCache::Entry* entry = context.cache ? &context.cache->next() : nullptr;
  Var k, v;  // [B, S, H_kv * D]
  if (entry && entry->keys.defined()) {
    k = entry->keys, v = entry->values;
  } else {
    k = linear(context.memory, W_K, b_K), v = linear(context.memory, W_V, b_V);
    if (entry) entry->keys = k.value(), entry->values = v.value();
  }
  Tensor weights;
  Capture* capture = x.is_symbolic() ? nullptr : Capture::wanting("weights");
  const Var y = attention(linear(x, W_Q, b_Q), k, v, o, capture ? &weights : nullptr);  // [B, T, H * D]
  if (capture) capture->put(path, "weights", weights);
  return linear(y, W_O, b_O);  // [B, T, d]
}

}  // namespace qkv
