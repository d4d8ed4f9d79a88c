// What this process may use of the machine, and what it uses.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace qkv {

/// Limits of the control groups (versions 1 and 2) that the process is in: the smallest on the way up.
struct GroupLimits {
  double cpus;        ///< a quota, e.g. 1.5; infinity without
  std::size_t bytes;  ///< of memory; the largest number without
};
/// `root` stands before each path, "/proc/self/cgroup" and those that it leads to.
GroupLimits group_limits(const std::string& root = "");

/// The folder of the library that holds this function; "" where it is not known.
std::string library_folder();

/// Bytes that this process may hold: of the machine, its control groups, and ulimit -v.
std::size_t available_memory();

/// Bytes that this process holds now.
std::size_t resident_memory();

/// Whether the system may refuse addresses long before memory is used up: under ulimit -v, or without
/// overcommitment.
bool memory_is_limited();

/// How often all threads have allocated heap memory so far (malloc and its kin, operator new). Nothing where
/// the program does not count: see `set_allocation_counter`.
std::optional<std::int64_t> allocations();

/// Gives the library the function that counts. The programs qkv and qkv_tests link a source that replaces the
/// malloc family and calls this before main; a library must not replace malloc, so users' own programs do not
/// count.
void set_allocation_counter(std::int64_t (*count)());

}  // namespace qkv
