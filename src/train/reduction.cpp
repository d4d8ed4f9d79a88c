#include "train/reduction.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "ops/optimizer_kernels.h"
#include "qkv/base/threads.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

constexpr int kMaxShards = 256;
constexpr Index kGroup = 256 * 1024;  // elements: less costs more messages than it hides

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
      simd::add(size, data[i], data[j]);
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
      filled_(static_cast<std::size_t>(store.size() * communicator().size())) {
  if (communicator().alone() || store.symbolic()) return;
  make_groups();
  make_messages();
}

// From the last parameter to the first, because backward passes come to them in about this order.
void Reduction::make_groups() {
  plan_.group.assign(static_cast<std::size_t>(store_.size()), -1);
  Index elements = 0;
  for (std::size_t c = chunks_.size(), end = c; c-- > 0;) {
    const Chunk& chunk = chunks_[c];
    int& group = plan_.group[static_cast<std::size_t>(chunk.slot)];
    if (!chunk.frozen) elements += chunk.size, group = static_cast<int>(plan_.groups.size());
    const bool first = c == 0 || chunks_[c - 1].slot != chunk.slot;
    if (c > 0 && (!first || elements < kGroup)) continue;
    plan_.groups.push_back({c, end, 0});
    end = c, elements = 0;
  }
}

void Reduction::make_messages() {
  const Communicator& ranks = communicator();
  const auto n = static_cast<std::size_t>(ranks.size()), own = static_cast<std::size_t>(ranks.rank());
  plan_.owner.assign(chunks_.size(), -1), plan_.offset.assign(chunks_.size(), 0);
  std::vector<Index> load(n);
  plan_.begins.assign(n * plan_.groups.size() + 1, 0);
  const auto each_chunk_sent = [&](auto f) {
    for (std::size_t g = 0; g < plan_.groups.size(); g++)
      for (std::size_t c = plan_.groups[g].begin; c < plan_.groups[g].end; c++)
        if (!chunks_[c].frozen) f(c, g);
  };
  each_chunk_sent([&](std::size_t c, std::size_t g) {
    const auto least = std::min_element(load.begin(), load.end());
    plan_.owner[c] = static_cast<int>(least - load.begin()), *least += chunks_[c].size;
    Index& end = plan_.begins[static_cast<std::size_t>(plan_.owner[c]) * plan_.groups.size() + g + 1];
    plan_.offset[c] = end, end += chunks_[c].size;
  });
  std::partial_sum(plan_.begins.begin(), plan_.begins.end(), plan_.begins.begin());
  each_chunk_sent([&](std::size_t c, std::size_t g) {
    plan_.offset[c] += *owned(static_cast<std::size_t>(plan_.owner[c]), g);
  });
  const std::vector<std::size_t> shards = ranks.parts(static_cast<std::size_t>(shards_));
  Index in = 0;
  for (std::size_t r = 0; r <= n; r++) {
    Rank& rank = ranks_.emplace_back();
    rank.shard = static_cast<int>(shards[r]), rank.in = in;
    if (r == n) break;
    rank.nodes = nodes_of(shards_, rank.shard, static_cast<int>(shards[r + 1]));
    if (r != own) in += static_cast<Index>(rank.nodes.size()) * load[own];
  }
  out_ = Tensor::empty({static_cast<Index>(ranks_[own].nodes.size()) * plan_.begins.back()}, store_.dtype());
  in_ = Tensor::empty({in}, store_.dtype());
  sum_ = Tensor::empty({plan_.begins.back()}, store_.dtype());
}

template <class T>
void Reduction::collect(const std::vector<Gradients>& shards, const Chunk& chunk, T** data) const {
  for (std::size_t i = 0; i < shards.size(); i++)
    if (shards[i].has_slot(chunk.slot)) data[i] = shards[i].of_slot(chunk.slot).data<T>() + chunk.begin;
}

template <class T>
Communicator::Piece Reduction::message(std::size_t from, std::size_t to, std::size_t group) {
  const auto nodes = static_cast<Index>(ranks_[from].nodes.size());
  const Index* part = owned(to, group);
  const bool own = static_cast<int>(from) == communicator().rank();
  T* begin = own ? out_.data<T>() + nodes * part[0]
                 : in_.data<T>() + ranks_[from].in + nodes * (part[0] - owned(to, 0)[0]);
  return {begin, static_cast<std::size_t>(nodes * (part[1] - part[0])) * sizeof(T)};
}

template <class T, class F>
void Reduction::each_node(std::size_t from, std::size_t c, F f) {
  const auto to = static_cast<std::size_t>(plan_.owner[c]),
             group = static_cast<std::size_t>(plan_.group[static_cast<std::size_t>(chunks_[c].slot)]);
  const Index* part = owned(to, group);
  T* elements = static_cast<T*>(message<T>(from, to, group).data) + plan_.offset[c] - part[0];
  for (const int node : ranks_[from].nodes) {
    f(node, elements);
    elements += part[1] - part[0];
  }
}

// Adds up the own shards as far as that goes, and puts the nodes into the message to the chunk's owner. What
// is missing is sent as -0, which changes nothing that it is added to, not even the sign of a zero.
template <class T>
void Reduction::pack(const std::vector<Gradients>& shards, std::size_t c) {
  const Chunk& chunk = chunks_[c];
  if (chunk.frozen) return;
  T* data[kMaxShards] = {};
  collect(shards, chunk, data);
  const auto own = static_cast<std::size_t>(communicator().rank());
  add_along_tree(data, shards_, ranks_[own].shard, ranks_[own + 1].shard, chunk.size);
  each_node<T>(own, c, [&](int node, T* to) {
    if (data[node])
      std::copy_n(data[node], chunk.size, to);
    else
      std::fill_n(to, chunk.size, T(-0.0));
  });
}

void Reduction::send_group(const std::vector<Gradients>& shards) {
  const std::size_t g = sent_++;
  each_chunk(plan_.groups[g].begin, plan_.groups[g].end, store_.dtype(),
             [&](auto t, std::size_t c) { pack<decltype(t)>(shards, c); });
  const auto own = static_cast<std::size_t>(communicator().rank());
  std::vector<Communicator::Piece> out, in;
  dispatch("reduce", store_.dtype(), [&](auto t) {
    for (std::size_t r = 0; r + 1 < ranks_.size(); r++)
      out.push_back(message<decltype(t)>(own, r, g)), in.push_back(message<decltype(t)>(r, own, g));
  });
  communicator().start(out, in);
}

Reduction::Sender::Sender(const Tape& tape, Reduction& reduction, const std::vector<Gradients>& shards)
    : BackwardListener(tape), reduction_(reduction), shards_(shards) {
  for (Group& group : reduction_.plan_.groups) group.missing = 0;
  for (const int group : reduction_.plan_.group)
    if (group >= 0) reduction_.plan_.groups[static_cast<std::size_t>(group)].missing++;
}

void Reduction::Sender::passed(int slot) {
  Reduction& r = reduction_;
  const int group = slot < 0 ? -1 : r.plan_.group[static_cast<std::size_t>(slot)];
  if (group >= 0) r.plan_.groups[static_cast<std::size_t>(group)].missing--;
  while (r.sent_ < r.plan_.groups.size() && r.plan_.groups[r.sent_].missing == 0) r.send_group(shards_);
  communicator().progress();
}

void Reduction::send(const std::vector<Gradients>& shards) {
  const auto own = filled_.begin() + communicator().rank() * store_.size();
  for (int s = 0; s < store_.size(); s++)
    own[s] = std::any_of(shards.begin(), shards.end(), [&](const Gradients& g) { return g.has_slot(s); });
  while (sent_ < plan_.groups.size()) send_group(shards);
  sent_ = 0;
}

// The sum of all shards, of a chunk that this rank owns.
template <class T>
void Reduction::add_nodes(std::size_t c) {
  const int own = communicator().rank();
  if (plan_.owner[c] != own) return;
  T* data[kMaxShards] = {};
  for (std::size_t r = 0; r + 1 < ranks_.size(); r++)
    each_node<T>(r, c, [&](int node, T* from) { data[node] = from; });
  add_along_tree(data, shards_, 0, shards_, chunks_[c].size);
  std::copy_n(data[0], chunks_[c].size, sum_.data<T>() + plan_.offset[c]);
}

void Reduction::exchange() {
  Communicator& ranks = communicator();
  const auto slots = static_cast<std::size_t>(store_.size());
  ranks.gather(filled_.data(), ranks.parts(static_cast<std::size_t>(ranks.size()), slots));
  for (std::size_t i = slots; i < filled_.size(); i++) filled_[i % slots] |= filled_[i];
  each_chunk(0, chunks_.size(), store_.dtype(), [&](auto t, std::size_t c) { add_nodes<decltype(t)>(c); });
  std::vector<std::size_t> begins;
  for (std::size_t r = 0; r < ranks_.size(); r++)
    begins.push_back(static_cast<std::size_t>(*owned(r, 0)) * size_of(store_.dtype()));
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
    data[0] = sum_.data<T>() + plan_.offset[c];
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
  if (!communicator().alone()) exchange();
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
