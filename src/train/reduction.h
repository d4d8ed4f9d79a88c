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
  /// Bytes of what is sent and received.
  std::size_t bytes() const { return out_.byte_size() + in_.byte_size() + sum_.byte_size(); }

 private:
  // What one of several ranks has: its shards and nodes, and the elements that it adds up to the root. In
  // `out_` and `in_`, where the messages to it and from it begin: which slots are filled (1 or 0), then the
  // elements of each node. They end where those of the next rank begin.
  struct Part {
    int shard = 0;  // the first
    std::vector<int> nodes;
    std::size_t chunk = 0;               // the first
    Index element = 0, out = 0, in = 0;  // the first, of elements that are not frozen
  };

  void make_messages();
  void exchange(const std::vector<Gradients>& shards);
  template <class T>
  void collect(const std::vector<Gradients>& shards, const Chunk& chunk, T** data) const;
  template <class T>
  void send_nodes(const std::vector<Gradients>& shards, std::size_t c);
  template <class T>
  void add_nodes(std::size_t c);
  template <class T>
  double finish(std::vector<Gradients>& shards, std::size_t c);
  // The memory of a chunk's elements of each node in a message that begins at `message`, for rank `to`.
  template <class T, class F>
  void each_node(T* message, std::size_t from, std::size_t to, std::size_t c, F f) const;

  const ParameterStore& store_;
  int shards_;
  std::vector<Chunk> chunks_;
  std::vector<double> chunk_squares_;  // memory that `reduce` works in
  std::vector<char> filled_;           // by slot: whether any shard has a gradient of it
  std::vector<Part> parts_;            // of several ranks, and where they end
  std::vector<Index> offset_;          // of each chunk in `sum_`
  Tensor out_, in_, sum_;
};

}  // namespace qkv
