#include "data/permuted.h"

namespace qkv {

// A permutation of 2^(2 half) numbers in four Feistel rounds; results that are not below n are put in again
// ("cycle walking"), which makes it a permutation of the numbers below n.
Index permuted(Index position, Index n, const Stream& keys) {
  int half = 1;
  while ((Index{1} << (2 * half)) < n) half++;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  auto x = static_cast<std::uint64_t>(position);
  do {
    std::uint64_t left = x >> half, right = x & mask;
    for (std::uint64_t round = 0; round < 4; round++) {
      const std::uint64_t mixed = keys.part(round).part(right).bits64() & mask;
      const std::uint64_t next = left ^ mixed;
      left = right, right = next;
    }
    x = left << half | right;
  } while (x >= static_cast<std::uint64_t>(n));
  return static_cast<Index>(x);
}

}  // namespace qkv
