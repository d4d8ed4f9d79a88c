// Several pieces of work at the same time, each in a process of its own.
#pragma once
#include <cstddef>
#include <functional>

namespace qkv {

/// Calls work(0) ... work(n - 1). `ended` gets the exit code of each, and says whether to go on. With
/// `at_once` > 1 each is called in a process of its own, so many at a time, which prints errors only and ends
/// with this one; this one must have no threads. If they shall not go on, or after a signal, those that run
/// are asked to stop. Returns the signal, or 0.
int side_by_side(std::size_t n, int at_once, const std::function<int(std::size_t)>& work,
                 const std::function<bool(std::size_t, int code)>& ended);

}  // namespace qkv
