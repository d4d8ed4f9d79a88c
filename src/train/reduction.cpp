#include "train/reduction.h"

#include <algorithm>
#include <cstring>

#include "ops/optimizer_kernels.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

constexpr int kMaxShards = 256;

// Calls f(i, j) for each sum of the tree over n shards, that of node i and node j, whose shards all lie in
// [begin, end); it becomes node i.
template <class F>
void each_sum(int n, int begin, int end, F f) {
  for (int stride = 1; stride < n; stride *= 2)
    for (int i = 0; i + stride < n; i += 2 * stride)
      if (i >= begin && std::min(i + 2 * stride, n) <= end) f(i, i + stride);
}

// The nodes that are left after these sums.
std::vector<int> nodes_of(int n, int begin, int end) {
  std::vector<char> left(static_cast<std::size_t>(n), 0);
  std::fill(left.begin() + begin, left.begin() + end, 1);
  each_sum(n, begin, end, [&](int, int j) { left[static_cast<std::size_t>(j)] = 0; });
  std::vector<int> nodes;
  for (int i = begin; i < end; i++)
    if (left[static_cast<std::size_t>(i)]) nodes.push_back(i);
  return nodes;
}

// Null stands for zeros that were never written.
template <class T>
void add_along_tree(T** data, int n, int begin, int end, Index size) {
  each_sum(n, begin, end, [&](int i, int j) {
    if (!data[i])
      data[i] = data[j];
    else if (data[j])
      add(data[i], data[j], size);
  });
}

// Calls f(T{}, c) for each chunk c of a range, by all threads.
template <class F>
void each_chunk(std::size_t begin, std::size_t end, Dtype dtype, F f) {
  pool().run(static_cast<int>(end - begin), [&](int c, int) {
    dispatch("reduce", dtype, [&](auto t) { f(t, begin + static_cast<std::size_t>(c)); });
  });
}

}  // namespace

Reduction::Reduction(const ParameterStore& store, int shards)
    : store_(store),
      shards_(shards),
      chunks_(chunks_of(store)),
      chunk_squares_(chunks_.size()),
      filled_(static_cast<std::size_t>(store.size())) {
  if (!communicator().alone() && !store.symbolic()) make_messages();
}

void Reduction::make_messages() {
  const Communicator& ranks = communicator();
  const auto own = static_cast<std::size_t>(ranks.rank());
  offset_ = {0};
  for (const Chunk& chunk : chunks_) offset_.push_back(offset_.back() + (chunk.frozen ? 0 : chunk.size));
  const auto all = static_cast<std::size_t>(offset_.back());
  const std::vector<std::size_t> elements = ranks.parts(all), shards = ranks.parts(std::size_t(shards_));
  for (std::size_t r = 0; r < elements.size(); r++) {
    Part& part = parts_.emplace_back();
    const auto first = std::lower_bound(offset_.begin(), offset_.end() - 1, static_cast<Index>(elements[r]));
    part.chunk = elements[r] < all ? static_cast<std::size_t>(first - offset_.begin()) : chunks_.size();
    part.element = offset_[part.chunk];
    part.shard = static_cast<int>(shards[r]);
    if (r + 1 < shards.size()) part.nodes = nodes_of(shards_, part.shard, static_cast<int>(shards[r + 1]));
  }
  const auto size = [&](std::size_t from, std::size_t to) {
    const auto nodes = static_cast<Index>(parts_[from].nodes.size());
    return store_.size() + nodes * (parts_[to + 1].element - parts_[to].element);
  };
  for (std::size_t r = 0; r + 1 < parts_.size(); r++) {
    parts_[r + 1].out = parts_[r].out + size(own, r);
    parts_[r + 1].in = parts_[r].in + (r == own ? 0 : size(r, own));
  }
  out_ = Tensor::empty({parts_.back().out}, store_.dtype());
  in_ = Tensor::empty({parts_.back().in}, store_.dtype());
  sum_ = Tensor::empty({offset_.back()}, store_.dtype());
}

template <class T>
void Reduction::collect(const std::vector<Gradients>& shards, const Chunk& chunk, T** data) const {
  for (std::size_t i = 0; i < shards.size(); i++)
    if (shards[i].has_slot(chunk.slot)) data[i] = shards[i].of_slot(chunk.slot).data<T>() + chunk.begin;
}

template <class T, class F>
void Reduction::each_node(T* message, std::size_t from, std::size_t to, std::size_t c, F f) const {
  T* elements = message + store_.size() + offset_[c] - parts_[to].element;
  for (const int node : parts_[from].nodes) {
    f(node, elements);
    elements += parts_[to + 1].element - parts_[to].element;
  }
}

// Adds up the own shards as far as that goes, and puts the nodes into the message to the chunk's owner. What
// is missing is sent as -0, which changes nothing that it is added to, not even the sign of a zero.
template <class T>
void Reduction::send_nodes(const std::vector<Gradients>& shards, std::size_t c) {
  const Chunk& chunk = chunks_[c];
  if (chunk.frozen) return;
  T* data[kMaxShards] = {};
  collect(shards, chunk, data);
  const auto own = static_cast<std::size_t>(communicator().rank());
  add_along_tree(data, shards_, parts_[own].shard, parts_[own + 1].shard, chunk.size);
  std::size_t owner = 0;
  while (c >= parts_[owner + 1].chunk) owner++;
  each_node(out_.data<T>() + parts_[owner].out, own, owner, c, [&](int node, T* to) {
    if (data[node])
      std::copy_n(data[node], chunk.size, to);
    else
      std::fill_n(to, chunk.size, T(-0.0));
  });
}

// The sum of all shards, of a chunk that this rank owns.
template <class T>
void Reduction::add_nodes(std::size_t c) {
  const auto own = static_cast<std::size_t>(communicator().rank());
  T* data[kMaxShards] = {};
  for (std::size_t r = 0; r + 1 < parts_.size(); r++)
    each_node(r == own ? out_.data<T>() + parts_[r].out : in_.data<T>() + parts_[r].in, r, own, c,
              [&](int node, T* from) { data[node] = from; });
  if (chunks_[c].frozen) return;
  add_along_tree(data, shards_, 0, shards_, chunks_[c].size);
  std::copy_n(data[0], chunks_[c].size, sum_.data<T>() + offset_[c]);
}

void Reduction::exchange(const std::vector<Gradients>& shards) {
  Communicator& ranks = communicator();
  const auto own = static_cast<std::size_t>(ranks.rank());
  const Dtype dtype = store_.dtype();
  each_chunk(0, chunks_.size(), dtype, [&](auto t, std::size_t c) { send_nodes<decltype(t)>(shards, c); });
  std::vector<Communicator::Piece> out, in;
  std::vector<std::size_t> begins;
  dispatch("reduce", dtype, [&](auto t) {
    using T = decltype(t);
    T *to = out_.data<T>(), *from = in_.data<T>();
    const auto bytes = [](Index elements) {
      return static_cast<std::size_t>(elements) * sizeof(T);
    };
    for (std::size_t r = 0; r + 1 < parts_.size(); r++) {
      const Part &part = parts_[r], &next = parts_[r + 1];
      std::copy(filled_.begin(), filled_.end(), to + part.out);
      out.push_back({to + part.out, bytes(next.out - part.out)});
      in.push_back({from + part.in, bytes(next.in - part.in)});
    }
    ranks.exchange(out, in);
    for (std::size_t r = 0; r < in.size(); r++)
      for (std::size_t s = 0; r != own && s < filled_.size(); s++)
        filled_[s] |= from[parts_[r].in + static_cast<Index>(s)] != 0;
    for (const Part& part : parts_) begins.push_back(bytes(part.element));
  });
  each_chunk(parts_[own].chunk, parts_[own + 1].chunk, dtype,
             [&](auto t, std::size_t c) { add_nodes<decltype(t)>(c); });
  ranks.gather(sum_.bytes(), begins);
}

// Puts the chunk's sum into shard 0; the sum of its squares, 0 where it is frozen or has no gradient.
template <class T>
double Reduction::finish(std::vector<Gradients>& shards, std::size_t c) {
  const Chunk& chunk = chunks_[c];
  if (!filled_[static_cast<std::size_t>(chunk.slot)]) return 0;
  T* data[kMaxShards] = {};
  if (!communicator().alone()) {
    if (chunk.frozen) return 0;
    data[0] = sum_.data<T>() + offset_[c];
  } else {
    collect(shards, chunk, data);
    add_along_tree(data, shards_, 0, shards_, chunk.size);
  }
  const Tensor& value = store_.slot(chunk.slot).value;
  T* result = shards[0].buffer(chunk.slot, value.shape(), value.dtype()).data<T>() + chunk.begin;
  if (data[0] != result) std::memcpy(result, data[0], static_cast<std::size_t>(chunk.size) * sizeof(T));
  return chunk.frozen ? 0 : sum_of_squares(result, chunk.size);
}

double Reduction::reduce(std::vector<Gradients>& shards, std::vector<double>& squares) {
  for (int s = 0; s < store_.size(); s++)
    filled_[static_cast<std::size_t>(s)] =
        std::any_of(shards.begin(), shards.end(), [&](const Gradients& g) { return g.has_slot(s); });
  if (!communicator().alone()) exchange(shards);
  const auto each_filled = [&](auto f) {
    for (int s = 0; s < store_.size(); s++)
      if (filled_[static_cast<std::size_t>(s)]) f(s);
  };
  // Shard 0 needs a buffer wherever another shard has one.
  each_filled([&](int s) { shards[0].buffer(s, store_.slot(s).value.shape(), store_.dtype()); });
  each_chunk(0, chunks_.size(), store_.dtype(),
             [&](auto t, std::size_t c) { chunk_squares_[c] = finish<decltype(t)>(shards, c); });
  each_filled([&](int s) { shards[0].mark(s); });
  double total = 0;
  squares.assign(chunks_.empty() ? 0 : static_cast<std::size_t>(chunks_.back().named) + 1, 0.0);
  for (std::size_t c = 0; c < chunks_.size(); c++) {
    total += chunk_squares_[c];
    squares[static_cast<std::size_t>(chunks_[c].named)] += chunk_squares_[c];
  }
  return total;
}

}  // namespace qkv
