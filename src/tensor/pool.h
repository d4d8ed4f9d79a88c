// The storage of tensors: 64-byte aligned blocks from a caching pool, so that a training step does not
// allocate; and how much memory a computation would take, from a walk through it with symbolic tensors.
#pragma once
#include <map>

#include "qkv/base/threads.h"
#include "qkv/tensor/tensor.h"

namespace qkv {
namespace memory {

/// A block of at least `bytes` bytes with one reference. Throws on exhausted memory.
StorageBlock* allocate(std::size_t bytes);
/// Gives back a block whose last reference is gone.
void release(StorageBlock* block);
/// Memory that a block of `bytes` bytes takes: with its header, and large ones in whole huge pages.
std::size_t block_bytes(std::size_t bytes);

struct Statistics {
  std::int64_t system_allocations;  ///< blocks ever taken from the system
  std::int64_t bytes;               ///< bytes held from the system, in use or cached
};
Statistics statistics();

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

}  // namespace qkv
