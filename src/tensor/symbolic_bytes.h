// How much memory a computation would take: a walk through it with symbolic tensors, counted.
#pragma once
#include <cstddef>

#include "qkv/base/threads.h"

namespace qkv {

/// Counts the bytes of the tensors that this thread makes while it lives, as if all were kept: about what a
/// tape keeps. Ops that keep more than their result make a symbolic tensor of it, too.
class SymbolicBytes : public ThreadScoped<SymbolicBytes> {
 public:
  double count() const { return count_; }
  double largest() const { return largest_; }  ///< of one tensor
  static void add(std::size_t bytes);

 private:
  double count_ = 0, largest_ = 0;
};
template <>
SymbolicBytes*& ThreadScoped<SymbolicBytes>::innermost();

}  // namespace qkv
