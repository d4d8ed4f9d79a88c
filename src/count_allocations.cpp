// Counts heap allocations by replacing the malloc family of glibc with functions that count and pass on
// (https://sourceware.org/glibc/manual/html_node/Replacing-malloc.html). Linked to programs, not to the
// library, and not with sanitizers, which replace malloc themselves. `free` stays glibc's: all memory is its
// own. operator new of libstdc++ calls malloc or aligned_alloc, so it is counted by them.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "base/machine.h"

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

std::atomic<std::int64_t> calls{0};

void count() {
  calls.fetch_add(1, std::memory_order_relaxed);
}

const bool registered = [] {
  qkv::set_allocation_counter([] { return calls.load(std::memory_order_relaxed); });
  return true;
}();

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  count();
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) {
  count();
  return __libc_calloc(n, size);
}
void* realloc(void* memory, std::size_t size) {
  count();
  return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  count();
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  void* result = __libc_memalign(alignment, size);
  if (!result) return ENOMEM;
  *memory = result;
  return 0;
}

}  // extern "C"
