// Reduction: the gradients of the shards become one, along a fixed tree, so that neither threads nor ranks
// ever change a bit.
#pragma once
#include <vector>

#include "base/communicator.h"
#include "qkv/autograd/tape.h"
#include "qkv/train/optimizer.h"

namespace qkv {

/// The sum is ((0 + 1) + (2 + 3)) + ... over the shards. Each of several ranks has some shards in a row. It
/// computes the nodes of the tree below which all shards are its own, and sends each rank these for a part of
/// the elements. That rank goes on to the root of its part, and sends it to all. So every rank sends about
/// twice the bytes of the gradient, however many ranks there are (Rabenseifner 2004: reduce-scatter, gather).
class Reduction {
 public:
  Reduction(const ParameterStore& store, int shards);

  /// Adds the gradients of all shards of all ranks into shard 0 of each rank. The gradients that a shard
  /// lacks count as zero. Returns the sum of squares of the result without frozen parts, and in `squares`
  /// that of each named parameter.
  double reduce(std::vector<Gradients>& shards, std::vector<double>& squares);
  const std::vector<Chunk>& chunks() const { return chunks_; }
  /// Bytes of what is sent and received.
  std::size_t bytes() const { return out_.byte_size() + in_.byte_size() + sum_.byte_size(); }

 private:
  void make_messages();
  void exchange(std::vector<Gradients>& shards);
  template <class T>
  void send_nodes(const std::vector<Gradients>& shards, std::size_t c);
  template <class T>
  void add_nodes(std::size_t c);
  template <class T>
  double finish(std::vector<Gradients>& shards, std::size_t c);
  template <class T>
  void collect(const std::vector<Gradients>& shards, const Chunk& chunk, T** data) const;
  template <class F>
  void each_chunk(std::size_t begin, std::size_t end, F f);

  const ParameterStore& store_;
  int shards_;
  std::vector<Chunk> chunks_;
  std::vector<double> chunk_squares_;  // memory that `reduce` works in
  std::vector<char> filled_;           // by slot: whether any shard has a gradient of it

  // Of several ranks, by rank: the first chunk and the first element of its part (elements of frozen parts do
  // not count), its nodes, and where the messages to it and from it begin in `out_` and `in_`. A message has
  // which slots are filled (1 or 0), then the elements of each node.
  std::vector<std::size_t> first_chunk_;
  std::vector<std::vector<int>> nodes_;
  std::vector<Index> first_element_, out_begin_, in_begin_;
  std::vector<Index> offset_;  // of each chunk in `sum_`
  std::vector<int> owner_;     // of each chunk
  Tensor out_, in_, sum_;
};

}  // namespace qkv
