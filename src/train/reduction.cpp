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

std::size_t at_rank(int rank) {
  return static_cast<std::size_t>(rank);
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
  const int size = ranks.size(), own = ranks.rank();
  offset_ = {0};
  for (const Chunk& chunk : chunks_) offset_.push_back(offset_.back() + (chunk.frozen ? 0 : chunk.size));
  const Index all = offset_.back(), slots = store_.size();
  for (int r = 0; r <= size; r++) {
    const auto first = std::lower_bound(offset_.begin(), offset_.end() - 1, ranks.begin_of(all, r));
    first_chunk_.push_back(r < size ? static_cast<std::size_t>(first - offset_.begin()) : chunks_.size());
    first_element_.push_back(r < size ? *first : all);
  }
  const auto shard = [&](int r) {
    return static_cast<int>(ranks.begin_of(shards_, r));
  };
  for (int r = 0; r < size; r++) {
    nodes_.push_back(nodes_of(shards_, shard(r), shard(r + 1)));
    owner_.resize(first_chunk_[at_rank(r + 1)], r);
  }
  const auto size_of_message = [&](int from, int to) {
    const Index elements = first_element_[at_rank(to + 1)] - first_element_[at_rank(to)];
    return slots + static_cast<Index>(nodes_[at_rank(from)].size()) * elements;
  };
  out_begin_ = in_begin_ = {0};
  for (int r = 0; r < size; r++) {
    out_begin_.push_back(out_begin_.back() + size_of_message(own, r));
    in_begin_.push_back(in_begin_.back() + (r == own ? 0 : size_of_message(r, own)));
  }
  out_ = Tensor::empty({out_begin_.back()}, store_.dtype());
  in_ = Tensor::empty({in_begin_.back()}, store_.dtype());
  sum_ = Tensor::empty({all}, store_.dtype());
}

template <class F>
void Reduction::each_chunk(std::size_t begin, std::size_t end, F f) {
  pool().run(static_cast<int>(end - begin), [&](int c, int) {
    dispatch("reduce", store_.dtype(), [&](auto t) { f(t, begin + static_cast<std::size_t>(c)); });
  });
}

template <class T>
void Reduction::collect(const std::vector<Gradients>& shards, const Chunk& chunk, T** data) const {
  for (std::size_t i = 0; i < shards.size(); i++)
    if (shards[i].has_slot(chunk.slot)) data[i] = shards[i].of_slot(chunk.slot).data<T>() + chunk.begin;
}

// Adds up the own shards as far as that goes, and puts the nodes into the message to the chunk's owner. What
// is missing is sent as -0, which adds to nothing, not even to the sign of a zero.
template <class T>
void Reduction::send_nodes(const std::vector<Gradients>& shards, std::size_t c) {
  const Communicator& ranks = communicator();
  const Chunk& chunk = chunks_[c];
  if (chunk.frozen) return;
  T* data[kMaxShards] = {};
  collect(shards, chunk, data);
  const auto first = [&](int r) {
    return static_cast<int>(ranks.begin_of(shards_, r));
  };
  add_along_tree(data, shards_, first(ranks.rank()), first(ranks.rank() + 1), chunk.size);
  const std::size_t owner = at_rank(owner_[c]);
  T* to = out_.data<T>() + out_begin_[owner] + store_.size() + offset_[c] - first_element_[owner];
  for (const int node : nodes_[at_rank(ranks.rank())]) {
    if (data[node])
      std::copy_n(data[node], chunk.size, to);
    else
      std::fill_n(to, chunk.size, T(-0.0));
    to += first_element_[owner + 1] - first_element_[owner];
  }
}

// The sum of all shards, of a chunk that this rank owns.
template <class T>
void Reduction::add_nodes(std::size_t c) {
  const Communicator& ranks = communicator();
  const Chunk& chunk = chunks_[c];
  if (chunk.frozen) return;
  const std::size_t own = at_rank(ranks.rank());
  T* data[kMaxShards] = {};
  for (std::size_t r = 0; r < nodes_.size(); r++) {
    T* from = r == own ? out_.data<T>() + out_begin_[r] : in_.data<T>() + in_begin_[r];
    from += store_.size() + offset_[c] - first_element_[own];
    for (const int node : nodes_[r]) {
      data[node] = from;
      from += first_element_[own + 1] - first_element_[own];
    }
  }
  add_along_tree(data, shards_, 0, shards_, chunk.size);
  std::copy_n(data[0], chunk.size, sum_.data<T>() + offset_[c]);
}

void Reduction::exchange(std::vector<Gradients>& shards) {
  Communicator& ranks = communicator();
  const std::size_t own = at_rank(ranks.rank()), bytes = size_of(store_.dtype());
  each_chunk(0, chunks_.size(), [&](auto t, std::size_t c) { send_nodes<decltype(t)>(shards, c); });
  std::vector<Communicator::Piece> out, in;
  std::vector<std::size_t> parts;
  const auto piece = [&](Tensor& messages, const std::vector<Index>& begin, std::size_t r) {
    return Communicator::Piece{messages.bytes() + static_cast<std::size_t>(begin[r]) * bytes,
                               static_cast<std::size_t>(begin[r + 1] - begin[r]) * bytes};
  };
  for (std::size_t r = 0; r < nodes_.size(); r++) {
    out.push_back(piece(out_, out_begin_, r)), in.push_back(piece(in_, in_begin_, r));
    dispatch("reduce", store_.dtype(), [&](auto t) {
      std::copy(filled_.begin(), filled_.end(), out_.data<decltype(t)>() + out_begin_[r]);
    });
  }
  ranks.exchange(out, in);
  for (std::size_t r = 0; r < nodes_.size(); r++)
    dispatch("reduce", store_.dtype(), [&](auto t) {
      for (std::size_t s = 0; r != own && s < filled_.size(); s++)
        filled_[s] |= in_.data<decltype(t)>()[in_begin_[r] + static_cast<Index>(s)] != 0;
    });
  each_chunk(first_chunk_[own], first_chunk_[own + 1],
             [&](auto t, std::size_t c) { add_nodes<decltype(t)>(c); });
  for (const Index first : first_element_) parts.push_back(static_cast<std::size_t>(first) * bytes);
  ranks.gather(sum_.bytes(), parts);
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
  each_chunk(0, chunks_.size(),
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
