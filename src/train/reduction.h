// Reduction: the gradients of the shards become one, along a fixed tree, so that neither threads nor ranks
// ever change a bit.
#pragma once
#include <vector>

#include "autograd/backward_listener.h"
#include "base/communicator.h"
#include "qkv/autograd/tape.h"
#include "qkv/train/optimizer.h"

namespace qkv {

/// The sum is ((0 + 1) + (2 + 3)) + ... over the shards. Each of several ranks has some shards in a row. It
/// computes the nodes of the tree below which all shards are its own, and sends each rank these for a part of
/// the elements. That rank goes on to the root of its part, and sends it to all. So every rank sends about
/// twice the bytes of the gradient, however many ranks there are (Rabenseifner 2004: reduce-scatter, gather).
/// What is sent first goes in groups of parameters, from the last one to the first, as backward passes come
/// to them; each rank adds up a part of each group.
class Reduction {
 public:
  Reduction(const ParameterStore& store, int shards);

  /// Sends each group as soon as the backward pass of the last of this rank's shards, which runs while this
  /// lives, has come to the last of its parameters.
  class Sender : public BackwardListener {
   public:
    Sender(const Tape& tape, Reduction& reduction, const std::vector<Gradients>& shards);
    void passed(int slot) override;

   private:
    Reduction& reduction_;
    const std::vector<Gradients>& shards_;
  };

  /// Sends the groups that are not sent yet.
  void send(const std::vector<Gradients>& shards);
  /// Adds the gradients of all shards of all ranks, which are sent, into shard 0 of each rank. The gradients
  /// that a shard lacks count as zero. Returns the sum of squares of the result without frozen parts, and in
  /// `squares` that of each named parameter.
  double reduce(std::vector<Gradients>& shards, std::vector<double>& squares);
  /// Bytes of what is sent and received.
  std::size_t bytes() const { return out_.byte_size() + in_.byte_size() + sum_.byte_size(); }

 private:
  // What one of several ranks has: its shards and nodes, and where the messages from it begin in `in_`.
  struct Rank {
    int shard = 0;  // the first; they end where those of the next rank begin
    std::vector<int> nodes;
    Index in = 0;
  };
  // The chunks of some parameters, and how many of these are not final yet.
  struct Group {
    std::size_t begin, end;
    int missing;
  };

  // Which chunks go in which messages.
  struct Plan {
    std::vector<Group> groups;      // in the order in which they are sent
    std::vector<int> group, owner;  // of each slot, and of each chunk; -1 where all is frozen
    std::vector<Index> begins;      // see `owned`
    std::vector<Index> offset;      // of each chunk in `sum_`
  };

  void make_groups();
  void make_messages();
  void send_group(const std::vector<Gradients>& shards);
  void exchange();
  template <class T>
  void collect(const std::vector<Gradients>& shards, const Chunk& chunk, T** data) const;
  template <class T>
  void pack(const std::vector<Gradients>& shards, std::size_t c);
  template <class T>
  void add_nodes(std::size_t c);
  template <class T>
  double finish(std::vector<Gradients>& shards, std::size_t c);
  // What rank `to` owns of a group: where it begins in `sum_`, and the next one. Messages to it about the
  // group hold so many elements of each node.
  const Index* owned(std::size_t to, std::size_t group) const {
    return &plan_.begins[to * plan_.groups.size() + group];
  }
  template <class T>
  Communicator::Piece message(std::size_t from, std::size_t to, std::size_t group);
  // Calls f(node, its elements) for a chunk in the message from a rank to its owner.
  template <class T, class F>
  void each_node(std::size_t from, std::size_t c, F f);

  const ParameterStore& store_;
  int shards_;
  std::vector<Chunk> chunks_;
  std::vector<double> chunk_squares_;  // memory that `reduce` works in
  std::vector<char> filled_;           // by rank and slot: whether a shard has a gradient of it
  // Of several ranks:
  std::vector<Rank> ranks_;  // and where they end
  Plan plan_;
  std::size_t sent_ = 0;  // groups
  Tensor out_, in_, sum_;
};

}  // namespace qkv
