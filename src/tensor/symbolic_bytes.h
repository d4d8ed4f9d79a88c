// How much memory a computation would take: a walk through it with symbolic tensors, counted.
#pragma once
#include <cstddef>
#include <map>

#include "qkv/base/threads.h"

namespace qkv {

namespace memory {
/// Memory that a block of `bytes` bytes takes: with its header, and large ones in whole huge pages.
std::size_t block_bytes(std::size_t bytes);
}  // namespace memory

/// Counts the memory of the tensors that this thread makes while it lives, as their blocks in the pool take
/// it. Ops that keep more than their result also make a symbolic tensor of it.
class SymbolicBytes : public ThreadScoped<SymbolicBytes> {
 public:
  /// If all tensors are kept: about what a tape keeps.
  double kept() const { return reused(std::size_t(-1)); }
  /// If tensors are freed after use and at most `live` of each size exist at a time: the pool hands a freed
  /// block only to tensors of about the same size.
  double reused(std::size_t live) const;
  static void add(std::size_t bytes);

 private:
  std::map<std::size_t, std::size_t> tensors_;  // bytes of a block -> how many
};
template <>
SymbolicBytes*& ThreadScoped<SymbolicBytes>::innermost();

}  // namespace qkv
