// CachedDecoding: a transformer continues sequences from a cache of keys and values.
#pragma once
#include <functional>

#include "qkv/model/generate.h"
#include "qkv/nn/layer.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

class CachedDecoding : public Decoding {
 public:
  /// `decode` gives the vectors [rows, n, d] of new tokens that stand at `start` and after, `head` what
  /// follows from them. `context` may hold a memory of the rows; its keys and values are in the cache from
  /// the first pass on.
  using Decode = std::function<Var(const Tensor& ids, const Context& context, Index start)>;
  CachedDecoding(const char* model, KeyValueCache cache, Context context, const Linear& head, Decode decode)
      : model_(model),
        cache_(std::move(cache)),
        context_(std::move(context)),
        head_(head),
        decode_(std::move(decode)) {
    context_.cache = &cache_;
  }

  Tensor feed(const Tensor& ids) override {
    QKV_CHECK(ids.rank() == 2 && ids.dim(0) == cache_.rows() && ids.dim(1) >= 1 && ids.dim(1) <= room(),
              "{}: ids must be [{}, 1 .. {}]; got {}", model_, cache_.rows(), room(), ids.shape());
    cache_.begin();
    Var h = decode_(ids, context_, cache_.length());
    cache_.advance(ids.dim(1));
    context_.memory = Var();
    if (ids.dim(1) > 1) h = slice(h, 1, ids.dim(1) - 1, ids.dim(1));
    return head_(reshape(h, {ids.dim(0), h.dim(2)})).value();
  }
  void select(const std::vector<int>& from) override {
    if (context_.memory_keep.defined())
      context_.memory_keep = select_rows("cache", context_.memory_keep, from);
    if (context_.memory.defined()) context_.memory = select_rows("cache", context_.memory.value(), from);
    cache_.select(from);
  }
  Index room() const override { return cache_.capacity() - cache_.length(); }

 private:
  const char* model_;
  KeyValueCache cache_;
  Context context_;
  const Linear& head_;
  Decode decode_;
};

}  // namespace qkv
