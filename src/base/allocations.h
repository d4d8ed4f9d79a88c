// Allocation counter: how often this process has allocated heap memory.
#pragma once
#include <cstdint>
#include <optional>

namespace qkv {

/// Calls of malloc, calloc, realloc, aligned_alloc, posix_memalign, memalign and operator new so far, by all
/// threads. Nothing where the program does not count: see `set_allocation_counter`.
std::optional<std::int64_t> allocations();

/// Gives the library the function that counts. The programs qkv and qkv_tests link a source that replaces the
/// malloc family and calls this before main; a library must not replace malloc, so users' own programs do not
/// count.
void set_allocation_counter(std::int64_t (*count)());

}  // namespace qkv
