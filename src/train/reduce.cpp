#include "train/reduce.h"

#include <algorithm>
#include <cstring>

#include "ops/optimizer_kernels.h"
#include "qkv/base/threads.h"

namespace qkv {

std::vector<Chunk> chunks_of(const ParameterStore& store) {
  constexpr Index kElements = 32 * 1024;  // 128 KiB of f32: several arrays of it fit in L2
  std::vector<Chunk> chunks;
  if (store.symbolic()) return chunks;  // there may be more of them than memory holds
  int named = 0;
  store.each_part([&](int s, const ParameterStore::Part& part) {
    const Tensor& value = store.slot(s).value;
    const Index begin = part.begin * (value.size() / std::max<Index>(1, value.dim(0))),
                size = part.of(value).size();
    for (Index at = 0; at < size; at += kElements)
      chunks.push_back({s, named, begin + at, std::min(kElements, size - at), part.frozen});
    named++;
  });
  return chunks;
}

// The sum of squares of the chunk's sum; 0 where it is frozen or has no gradient.
template <class T>
double Reduction::reduce_chunk(std::vector<Gradients>& shards, const Chunk& chunk) const {
  constexpr int kMaxShards = 256;
  const int n = static_cast<int>(shards.size());
  T* data[kMaxShards] = {};  // null: this shard has no gradient of the slot
  for (int i = 0; i < n; i++)
    if (const Gradients& shard = shards[static_cast<std::size_t>(i)]; shard.has_slot(chunk.slot))
      data[i] = shard.of_slot(chunk.slot).data<T>() + chunk.begin;
  for (int stride = 1; stride < n; stride *= 2)
    for (int i = 0; i + stride < n; i += 2 * stride) {
      if (!data[i])
        data[i] = data[i + stride];
      else if (data[i + stride])
        add(data[i], data[i + stride], chunk.size);
    }
  if (!data[0]) return 0;
  const Tensor& value = store_.slot(chunk.slot).value;
  T* result = shards[0].buffer(chunk.slot, value.shape(), value.dtype()).data<T>() + chunk.begin;
  if (data[0] != result) std::memcpy(result, data[0], static_cast<std::size_t>(chunk.size) * sizeof(T));
  return chunk.frozen ? 0 : sum_of_squares(result, chunk.size);
}

double Reduction::reduce(std::vector<Gradients>& shards, std::vector<double>& squares) {
  const auto in_any_shard = [&](int slot) {
    return std::any_of(shards.begin(), shards.end(), [&](const Gradients& g) { return g.has_slot(slot); });
  };
  for (int s = 0; s < store_.size(); s++)  // shard 0 needs a buffer wherever another shard has one
    if (in_any_shard(s)) shards[0].buffer(s, store_.slot(s).value.shape(), store_.dtype());
  pool().run(static_cast<int>(chunks_.size()), [&](int c, int) {
    dispatch("reduce", store_.dtype(), [&](auto t) {
      const auto i = static_cast<std::size_t>(c);
      chunk_squares_[i] = reduce_chunk<decltype(t)>(shards, chunks_[i]);
    });
  });
  for (int s = 0; s < store_.size(); s++)
    if (in_any_shard(s)) shards[0].mark(s);
  double total = 0;
  squares.assign(chunks_.empty() ? 0 : static_cast<std::size_t>(chunks_.back().named) + 1, 0.0);
  for (std::size_t c = 0; c < chunks_.size(); c++) {
    total += chunk_squares_[c];
    squares[static_cast<std::size_t>(chunks_[c].named)] += chunk_squares_[c];
  }
  return total;
}

void check_all_have_gradients(const Gradients& gradients, const ParameterStore& store) {
  std::string names;
  store.each_part([&](int s, const ParameterStore::Part& part) {
    if (!gradients.has_slot(s) && !part.frozen) names += (names.empty() ? "'" : ", '") + part.name + "'";
  });
  if (!names.empty())
    fail(Fault::usage,
         "train: every parameter must get a gradient at step 1; got none for {} "
         "(the model does not use it; freeze it with train.freeze)",
         names);
}

}  // namespace qkv
