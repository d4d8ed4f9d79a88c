#include "base/allocations.h"

#include <cstdlib>
#include <new>

static thread_local std::int64_t count = 0;

void* operator new(std::size_t bytes) {
  count++;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

std::int64_t qkv::allocations() {
  return count;
}
