#include "base/allocations.h"

namespace qkv {

static std::int64_t (*counter)() = nullptr;

std::optional<std::int64_t> allocations() {
  if (!counter) return std::nullopt;
  return counter();
}

void set_allocation_counter(std::int64_t (*count)()) {
  counter = count;
}

}  // namespace qkv
