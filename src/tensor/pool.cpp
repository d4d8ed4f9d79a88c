// Size classes are quarter powers of two (at most 25 % waste). Blocks are cached per thread without a lock,
// so that a worker gets back what is in its own L2, and how many blocks there are does not depend on the
// workers' timing unless one does the tasks of another. Very large ones, and what overflows a thread's cache,
// go through a central list, so that blocks freed by another thread than the one that allocates come back.
#include "tensor/pool.h"

#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <new>

#include "qkv/base/error.h"

namespace qkv::memory {
namespace {

constexpr std::size_t kClasses = 192;
constexpr std::size_t kLarge = 4 * 1024 * 1024;    // such blocks always go through the central list
constexpr std::size_t kCached = 16 * 1024 * 1024;  // bytes per class that a thread keeps, but
constexpr int kCachedBlocks = 64;                  // at most so many blocks
constexpr std::size_t kHugePage = 2 * 1024 * 1024;

struct List {
  StorageBlock* head = nullptr;
  int count = 0;
  void push(StorageBlock* block) {
    block->next = head;
    head = block;
    count++;
  }
  StorageBlock* pop() {
    StorageBlock* block = head;
    if (block) {
      head = block->next;
      count--;
    }
    return block;
  }
};

struct Central {
  std::mutex mutex;
  std::array<List, kClasses> lists;
  std::int64_t system_allocations = 0, bytes = 0;
};
Central& central() {
  static Central* const instance = new Central;  // never destroyed: tensors with static lifetime outlive main
  return *instance;
}

struct Cache {
  std::array<List, kClasses> lists;
  ~Cache() {
    Central& c = central();
    std::lock_guard lock(c.mutex);
    for (std::size_t k = 0; k < kClasses; k++)
      while (StorageBlock* block = lists[k].pop()) c.lists[k].push(block);
    alive() = false;
  }
  static bool& alive() {  // trivially destructible, so readable after the cache itself is gone
    static thread_local bool value = true;
    return value;
  }
};
Cache* cache() {
  if (!Cache::alive()) return nullptr;
  static thread_local Cache instance;
  return &instance;
}

// Class k holds blocks of (4 + k % 4) << (k / 4) units of 16 bytes: 64, 80, 96, 112, 128, 160, ...
std::size_t bytes_of_class(std::size_t k) {
  return (4 + k % 4) << (k / 4 + 4);
}
std::size_t class_of(std::size_t bytes) {
  if (bytes <= 64) return 0;
  std::size_t power = 63 - std::size_t(__builtin_clzll(bytes - 1));  // 2^power <= bytes - 1
  std::size_t quarter = (bytes - 1) >> (power - 2);                  // 4..7
  return (power - 6) * 4 + (quarter - 4) + 1;
}

std::size_t alignment_of(std::size_t bytes) {
  return bytes >= kHugePage ? kHugePage : 64;
}

bool fits_in_cache(const List& list, std::size_t k) {
  return list.count < kCachedBlocks && std::size_t(list.count) * bytes_of_class(k) < kCached;
}

StorageBlock* from_system(std::size_t k) {
  const std::size_t bytes = block_bytes(bytes_of_class(k)), alignment = alignment_of(bytes);
  void* memory = std::aligned_alloc(alignment, bytes);
  if (!memory)
    fail(Fault::memory, "memory: a block of {} bytes must be available; the system refused it", bytes);
  if (alignment == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
  Central& c = central();
  std::lock_guard lock(c.mutex);
  c.system_allocations++;
  c.bytes += std::int64_t(bytes);
  StorageBlock* block = new (memory) StorageBlock;
  block->size_class = k;
  return block;
}

}  // namespace

std::size_t block_bytes(std::size_t bytes) {
  bytes += sizeof(StorageBlock);
  const std::size_t alignment = alignment_of(bytes);
  return (bytes + alignment - 1) / alignment * alignment;
}

StorageBlock* allocate(std::size_t bytes) {
  if (bytes > (std::size_t{1} << 46))
    fail(Fault::memory, "memory: a tensor must be below 64 TiB; got {} bytes", bytes);
  std::size_t k = class_of(bytes);
  StorageBlock* block = nullptr;
  if (bytes_of_class(k) < kLarge)
    if (Cache* local = cache()) block = local->lists[k].pop();
  if (!block) {
    std::lock_guard lock(central().mutex);
    block = central().lists[k].pop();
  }
  if (!block) return from_system(k);
  block->references.store(1, std::memory_order_relaxed);
  return block;
}

void release(StorageBlock* block) {
  std::size_t k = block->size_class;
  if (bytes_of_class(k) < kLarge) {
    Cache* local = cache();
    if (local && fits_in_cache(local->lists[k], k)) return local->lists[k].push(block);
  }
  std::lock_guard lock(central().mutex);
  central().lists[k].push(block);
}

Statistics statistics() {
  std::lock_guard lock(central().mutex);
  return {central().system_allocations, central().bytes};
}

}  // namespace qkv::memory
