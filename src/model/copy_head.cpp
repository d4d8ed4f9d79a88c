#include "model/copy_head.h"

#include <algorithm>
#include <cmath>

#include "ops/cached_attention.h"
#include "ops/pointer_generator.h"
#include "qkv/autograd/capture.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

CopyHead::CopyHead(const Scope& s, Index width, Index unknown)
    : unknown(unknown),
      query(s / "query", width, width),
      key(s / "key", width, width),
      gate(s / "gate", width, 1),
      path(s.path()) {}

Var CopyHead::operator()(const Var& h, const Var& logits, const Context& context) const {
  LayerPath here(path);
  KeyValueCache::Entry* entry = context.cache ? &context.cache->next() : nullptr;
  Var keys = entry ? Var(entry->keys) : Var();  // [B, S, d]
  if (!keys.defined()) keys = key(context.memory);
  if (entry) entry->keys = keys.value();
  const Index S = keys.dim(1), V = logits.dim(2);
  const Var scores = matmul(query(h), transpose(keys)) * (1 / std::sqrt(double(h.dim(2))));  // [B, T, S]
  if (!h.is_symbolic())
    if (Capture* capture = Capture::wanting("weights")) {
      AttentionMask mask;
      mask.key_keep = context.memory_keep;
      const Shape one{h.dim(0), 1, h.dim(1), S};
      capture->put(path, "weights", softmax(masked_scores(reshape(scores, one), mask)).value());
    }
  return pointer_generator(logits, gate(h), scores, context.memory_ids, context.memory_keep,
                           unknown < 0 ? V : V + S);
}

Tensor CopyHead::known(const Tensor& ids, Index V) const {
  if (ids.is_symbolic() || unknown < 0) return ids;
  const std::int32_t* first = ids.data<std::int32_t>();
  if (std::none_of(first, first + ids.size(), [&](std::int32_t id) { return id >= V; })) return ids;
  Tensor result = ids.clone();
  std::int32_t* id = result.data<std::int32_t>();
  std::replace_if(
      id, id + ids.size(), [&](std::int32_t one) { return one >= V; }, std::int32_t(unknown));
  return result;
}

}  // namespace qkv
