// Counts allocations, to prove that a steady state has none.
#pragma once
#include <cstdint>

namespace qkv {

/// The calls of operator new by this thread so far. Tensors come from aligned_alloc, which the pool counts
/// itself.
std::int64_t allocations();

}  // namespace qkv
