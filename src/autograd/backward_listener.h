// BackwardListener: learns, while a backward pass runs, which gradients are final.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// Listens, while it lives, to the backward pass of a tape of its thread.
class BackwardListener : public ThreadScoped<BackwardListener> {
 public:
  explicit BackwardListener(const Tape& tape) : tape_(tape) {}
  const Tape& tape() const { return tape_; }
  /// Called after each node. `slot`: of a parameter to whose gradient nothing will be added any more, because
  /// the pass has come to its leaf, which stands before all nodes that read it; else -1.
  virtual void passed(int slot) = 0;

 private:
  const Tape& tape_;
};

}  // namespace qkv
