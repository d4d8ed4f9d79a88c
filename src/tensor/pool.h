// The storage of tensors: 64-byte aligned blocks from a caching pool, so that a training step does not
// allocate.
#pragma once
#include "qkv/tensor/tensor.h"

namespace qkv::memory {

/// A block of at least `bytes` bytes with one reference. Throws on exhausted memory.
StorageBlock* allocate(std::size_t bytes);
/// Gives back a block whose last reference is gone.
void release(StorageBlock* block);

struct Statistics {
  std::int64_t system_allocations;  ///< blocks ever taken from the system
  std::int64_t bytes;               ///< bytes held from the system, in use or cached
};
Statistics statistics();

}  // namespace qkv::memory
