#include "qkv/train/gradients.h"

#include <algorithm>
#include <cstring>

#include "ops/optimizer_kernels.h"
#include "qkv/base/threads.h"

namespace qkv {

std::vector<Chunk> chunks_of(const ParameterStore& store) {
  constexpr Index kElements = 32 * 1024;  // 128 KiB of f32: several arrays of it fit in L2
  std::vector<Chunk> chunks;
  for (int s = 0; s < store.size(); s++) {
    const ParameterStore::Slot& slot = store.slot(s);
    const Index row = slot.value.size() / std::max<Index>(1, slot.value.dim(0));
    for (const ParameterStore::Part& part : slot.parts)
      for (Index at = 0; at < part.rows * row; at += kElements)
        chunks.push_back({s, part.begin * row + at, std::min(kElements, part.rows * row - at), part.frozen});
  }
  return chunks;
}

double reduce(std::vector<Gradients>& shards, const ParameterStore& store, const std::vector<Chunk>& chunks,
              std::vector<double>& scratch) {
  const int n = static_cast<int>(shards.size());
  for (int s = 0; s < store.size(); s++) {  // shard 0 needs a buffer wherever another shard has one
    const Tensor& value = store.slot(s).value;
    for (const Gradients& shard : shards)
      if (shard.has_slot(s)) shards[0].buffer(s, value.shape(), value.dtype());
  }
  scratch.assign(chunks.size(), 0.0);
  auto chunk = [&](int c, int) {
    const Chunk& part = chunks[static_cast<std::size_t>(c)];
    const int slot = part.slot;  // names of their own: a lambda may not capture structured bindings in C++17
    const Index begin = part.begin, size = part.size;
    const bool frozen = part.frozen;
    dispatch("reduce", store.dtype(), [&](auto t) {
      using T = decltype(t);
      constexpr int kMaxShards = 256;
      T* data[kMaxShards] = {};  // null: this shard has no gradient of the slot
      for (int i = 0; i < n; i++)
        if (shards[static_cast<std::size_t>(i)].has_slot(slot))
          data[i] = shards[static_cast<std::size_t>(i)].of_slot(slot).data<T>() + begin;
      for (int stride = 1; stride < n; stride *= 2)
        for (int i = 0; i + stride < n; i += 2 * stride) {
          if (!data[i])
            data[i] = data[i + stride];
          else if (data[i + stride])
            add(data[i], data[i + stride], size);
        }
      if (!data[0]) return;
      T* result = shards[0].buffer(slot, store.slot(slot).value.shape(), store.dtype()).data<T>() + begin;
      if (data[0] != result) std::memcpy(result, data[0], static_cast<std::size_t>(size) * sizeof(T));
      if (!frozen) scratch[static_cast<std::size_t>(c)] = sum_of_squares(result, size);
    });
  };
  pool().run(static_cast<int>(chunks.size()), chunk);
  for (int s = 0; s < store.size(); s++)
    if (std::any_of(shards.begin(), shards.end(), [&](const Gradients& g) { return g.has_slot(s); }))
      shards[0].mark(s);
  double total = 0;
  for (double part : scratch) total += part;
  return total;
}

void check_all_have_gradients(const Gradients& gradients, const ParameterStore& store) {
  std::string names;
  for (int s = 0; s < store.size(); s++)
    if (!gradients.has_slot(s))
      for (const ParameterStore::Part& part : store.slot(s).parts)
        if (!part.frozen) names += (names.empty() ? "'" : ", '") + part.name + "'";
  if (!names.empty())
    fail(Fault::usage,
         "train: every parameter must get a gradient at step 1; got none for {} "
         "(the model does not use it; freeze it with train.freeze)",
         names);
}

}  // namespace qkv
