// StorageBlock: reference-counted, 64-byte aligned storage from a caching pool, so that a training step does
// not allocate.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace qkv {

/// Header in front of the bytes of a tensor. Freed blocks are kept by size class and handed out again.
struct alignas(64) StorageBlock {
  std::atomic<std::int64_t> references{1};
  std::size_t size_class = 0;
  StorageBlock* next = nullptr;  // in a free list

  std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
};

namespace memory {

/// A block of at least `bytes` bytes with one reference. Throws on exhausted memory.
StorageBlock* allocate(std::size_t bytes);
/// Gives back a block whose last reference is gone.
void release(StorageBlock* block);

struct Statistics {
  std::int64_t system_allocations;  ///< blocks ever taken from the system
  std::int64_t bytes;               ///< bytes held from the system, in use or cached
};
Statistics statistics();

}  // namespace memory
}  // namespace qkv
