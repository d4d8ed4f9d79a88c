// The blocks of products of bf16 that the units of the CPU compute.
#pragma once
#include <cstdint>

#include "qkv/tensor/shape.h"

namespace qkv::bf16 {

/// c [32, 32] = A B with eight tiles of 16 rows of 64 bytes: two by two sums of C, two tiles of A, two of B
/// (Intel, "Architecture Instruction Set Extensions", TDPBF16PS). `Tiles` has the operations on them.
template <class Tiles>
inline void block_of_tiles(Index pairs, const std::uint32_t* a, Index lda, const std::uint32_t* b, float* c) {
  constexpr Index kPairs = 16, kRowBytes = 128;  // pairs in a tile; bytes of a row of a panel, and of c
  Tiles::clear();
  for (Index p = 0; p < pairs; p += kPairs, b += kPairs * 32) {
    Tiles::load_a(a + p, a + 16 * lda + p, lda * Index(sizeof *a));
    Tiles::load_b(b, b + 16, kRowBytes);
    Tiles::multiply();
  }
  Tiles::store(c, c + 16, c + 16 * 32, c + 16 * 32 + 16, kRowBytes);
}

}  // namespace qkv::bf16
