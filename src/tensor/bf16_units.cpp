#include "tensor/bf16_units.h"

#include "tensor/bf16.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace qkv::bf16 {

#if defined(__x86_64__) && defined(__linux__)
namespace {

void nothing() {}

bool has_vectors() {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw");
}

// Each row of A is read pair by pair against two vectors of the panel, in `kChains` sums side by side.
template <int kRows, int kChains = 1>
__attribute__((target("avx512f,avx512bw,avx512bf16"))) void rows_of_vectors(Index pairs,
                                                                            const std::uint32_t* a, Index lda,
                                                                            const std::uint32_t* b,
                                                                            float* c) {
  constexpr Index kAhead = 64;  // pairs, 8 KiB
  __m512 sum[std::size_t(kRows)][std::size_t(kChains)][2];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 8
    for (int s = 0; s < kChains; s++) sum[i][s][0] = sum[i][s][1] = _mm512_setzero_ps();
  for (Index p = 0; p < pairs; p += kChains, b += 32 * kChains)
#pragma GCC unroll 8
    for (int s = 0; s < kChains; s++) {
      if (kChains > 1) {  // few rows: the time is that of memory, which a distant prefetch keeps busy
        _mm_prefetch(b + 32 * (s + kAhead), _MM_HINT_T0);
        _mm_prefetch(b + 32 * (s + kAhead) + 16, _MM_HINT_T0);
      }
      const __m512bh left = (__m512bh)_mm512_loadu_si512(b + 32 * s);
      const __m512bh right = (__m512bh)_mm512_loadu_si512(b + 32 * s + 16);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; i++) {
        const __m512bh x = (__m512bh)_mm512_set1_epi32(int(a[i * lda + p + s]));
        sum[i][s][0] = _mm512_dpbf16_ps(sum[i][s][0], x, left);
        sum[i][s][1] = _mm512_dpbf16_ps(sum[i][s][1], x, right);
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      __m512 total = sum[i][0][half];
#pragma GCC unroll 8
      for (int s = 1; s < kChains; s++) total = _mm512_add_ps(total, sum[i][s][half]);
      _mm512_storeu_ps(c + i * 32 + half * 16, total);
    }
}

void block_of_vectors(Index rows, Index pairs, const std::uint32_t* a, Index lda, const std::uint32_t* b,
                      float* c) {
  if (rows <= kFewRows)
    return (rows == 1 ? rows_of_vectors<1, 4> : rows_of_vectors<2, 4>)(pairs, a, lda, b, c);
  for (Index i = 0; i < rows; i += 8) rows_of_vectors<8>(pairs, a + i * lda, lda, b, c + i * 32);
}

// Linux gives a process the state of the tiles (8 KiB per thread) when it requests it.
bool has_tiles() {
  constexpr unsigned kTile = 1u << 24, kBf16 = 1u << 22;  // CPUID leaf 7, EDX
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kTile) && (d & kBf16) && has_vectors() &&
         ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The operations know nothing of memory that the compiler may still hold in registers: hence the barriers.
__attribute__((target("amx-tile"))) void begin_tiles() {
  static const TileConfig config;
  _tile_loadconfig(&config);
  asm volatile("" ::: "memory");
}
__attribute__((target("amx-tile"))) void end_tiles() {
  _tile_release();
}

// (Macros of assembler, which need no target.)
struct AmxTiles {
  static void clear() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  static void load_a(const void* upper, const void* lower, Index stride) {
    _tile_loadd(4, upper, stride);
    _tile_loadd(5, lower, stride);
  }
  static void load_b(const void* left, const void* right, Index stride) {
    _tile_loadd(6, left, stride);
    _tile_loadd(7, right, stride);
  }
  static void multiply() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  static void store(float* c00, float* c01, float* c10, float* c11, Index stride) {
    _tile_stored(0, c00, stride);
    _tile_stored(1, c01, stride);
    _tile_stored(2, c10, stride);
    _tile_stored(3, c11, stride);
  }
};

void block_of_amx(Index rows, Index pairs, const std::uint32_t* a, Index lda, const std::uint32_t* b,
                  float* c) {
  if (rows <= kFewRows) return block_of_vectors(rows, pairs, a, lda, b, c);  // less work than a tile
  block_of_tiles<AmxTiles>(pairs, a, lda, b, c);
}

}  // namespace

bool is_fast(const Unit& unit) {
  return unit.block == block_of_amx || !__builtin_cpu_is("intel") || __builtin_cpu_is("cooperlake");
}

std::vector<Unit> units() {
  std::vector<Unit> all;
  if (has_tiles()) all.push_back({"AMX", begin_tiles, end_tiles, block_of_amx});
  if (has_vectors()) all.push_back({"AVX512-BF16", nothing, nothing, block_of_vectors});
  return all;
}
#else
bool is_fast(const Unit&) {
  return false;
}
std::vector<Unit> units() {
  return {};
}
#endif

}  // namespace qkv::bf16
