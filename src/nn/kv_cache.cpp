#include "qkv/nn/layer.h"

#include <algorithm>

#include "qkv/ops/shape_ops.h"
#include "tensor/bf16.h"

namespace qkv {

Tensor select_rows(const char* what, const Tensor& x, const std::vector<int>& from) {
  for (int row : from)
    QKV_CHECK(row >= 0 && row < x.dim(0), "{}: row must be in [0, {}); got {}", what, x.dim(0), row);
  return index_select(x, Tensor::from({Index(from.size())}, from)).value();
}

KeyValueCache::Entry& KeyValueCache::next() {
  if (next_ == entries_.size()) {
    entries_.emplace_back();
    if (const std::string* layer = LayerPath::current()) entries_.back().layer = *layer;
  }
  return entries_[next_++];
}

Var KeyValueCache::extended(const Var& x) {
  Entry& entry = next();
  QKV_CHECK(
      x.rank() >= 2 && x.dim(0) == rows_ && (entry.keys.defined() ? entry.keys.dim(1) : 0) == length_,
      "cache: x must be [{}, n, ..], in the same order of calls in every pass; got {} after {} of {} tokens",
      rows_, x.shape(), entry.keys.defined() ? entry.keys.dim(1) : 0, length_);
  entry.keys = entry.keys.defined() ? concat({Var(entry.keys), x}, 1).value() : x.value();
  return entry.keys;
}

template <class T>
void KeyValueCache::append(Entry& entry, const T* k, const T* v, Index ld, Index n, Index H_kv,
                           Index D) const {
  QKV_CHECK(length_ + n <= capacity_, "cache: tokens must be at most {}; got {} after {}", capacity_, n,
            length_);
  const Shape shape{rows_, H_kv, capacity_, D};
  if (!entry.keys.defined()) {
    entry.keys = Tensor::empty(shape, DtypeOf<T>::value);
    entry.values = Tensor::empty(shape, DtypeOf<T>::value);
  }
  QKV_CHECK(entry.keys.shape() == shape, "cache: keys must be {}; got {}", shape, entry.keys.shape());
  for (Index b = 0; b < rows_; b++)
    for (Index h = 0; h < H_kv; h++) {
      const Index to = ((b * H_kv + h) * capacity_ + length_) * D;
      for (Index t = 0; t < n; t++) {
        const Index from = (b * n + t) * ld + h * D;
        std::copy_n(k + from, D, entry.keys.data<T>() + to + t * D);
        std::copy_n(v + from, D, entry.values.data<T>() + to + t * D);
        bf16::round_if_chosen(D, entry.keys.data<T>() + to + t * D);
        bf16::round_if_chosen(D, entry.values.data<T>() + to + t * D);
      }
    }
}
template void KeyValueCache::append(Entry&, const float*, const float*, Index, Index, Index, Index) const;
template void KeyValueCache::append(Entry&, const double*, const double*, Index, Index, Index, Index) const;

void KeyValueCache::select(const std::vector<int>& from) {
  for (Entry& entry : entries_)
    for (Tensor* t : {&entry.keys, &entry.values})
      if (t->defined()) *t = select_rows("cache", *t, from);
  rows_ = Index(from.size());
}

}  // namespace qkv
