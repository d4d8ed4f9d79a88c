// The product of matrices on xsimd batches: a tile of C stays in registers while a panel of B, which stays in
// the first- or second-level cache, is read against rows of A (Goto and van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication"). Both are read where they lie if that costs little, else copied.
//
// Every element of C is one chain of fused multiply-adds in the order of k, whatever the sizes around it.
#pragma once
#include <algorithm>

#include "tensor/gemm.h"
#include "tensor/rows.h"

namespace qkv::gemm_kernel {

using simd::Batch, simd::kWidth, simd::Lanes;
/// A tile is six rows of two batches, of four where there are 32 registers: with a row of B and an element of
/// A it fills them.
constexpr Index kRows = 6;
#if XSIMD_WITH_AVX512F || XSIMD_WITH_NEON64
constexpr int kBatches = 4;
#else
constexpr int kBatches = 2;
#endif
template <class T>
constexpr Index kColumns = kBatches* kWidth<T>;
/// Rows of a panel of B, and of a block of A, which stays in the second-level cache while all panels pass.
constexpr Index kDepth = 384, kBlock = 84 * kRows;

/// Lane r of the result is `simd::sum_lanes` of batch r, bit for bit, at a quarter of the cost: each pass
/// halves the number of vectors, which hold twice as many rows of half as many partial sums (`W` of each row
/// before the pass).
template <class T, std::size_t W, std::size_t... I>
typename Lanes<T, sizeof...(I)>::type sum_rows(const typename Lanes<T, sizeof...(I)>::type* v,
                                               std::index_sequence<I...> lanes) {
  typedef typename Lanes<T, sizeof...(I)>::type V;
  if constexpr (W == 1) {
    return v[0];
  } else {
    V half[W / 2];
    for (std::size_t r = 0; r < W / 2; r++)
      half[r] = __builtin_shufflevector(v[2 * r], v[2 * r + 1], (I / (W / 2) * W + I % (W / 2))...) +
                __builtin_shufflevector(v[2 * r], v[2 * r + 1], (I / (W / 2) * W + I % (W / 2) + W / 2)...);
    return sum_rows<T, W / 2>(half, lanes);
  }
}
template <class T>
Batch<T> sum_lanes_of(const Batch<T> (&rows)[Batch<T>::size]) {
  constexpr std::size_t N = Batch<T>::size;
  typename Lanes<T, N>::type v[N];
  std::memcpy(v, rows, sizeof v);
  const auto sums = sum_rows<T, N>(v, std::make_index_sequence<N>());
  Batch<T> result;
  std::memcpy(&result, &sums, sizeof result);
  return result;
}

/// A matrix read as element (i, j) = data[i * row + j * column].
template <class T>
struct Strided {
  const T* data;
  Index row, column;
  Strided at(Index i, Index j) const { return {data + i * row + j * column, row, column}; }
};

/// op(x), whose stored rows are `ld` apart.
template <class T>
Strided<T> strided(Trans trans, const T* x, Index ld) {
  return trans == Trans::yes ? Strided<T>{x, 1, ld} : Strided<T>{x, ld, 1};
}

/// Where a product goes: c = alpha * product + beta * old, `old` being c itself or, with no distance between
/// its rows, a bias.
template <class T>
struct Target {
  T* data;
  Index row;
  T alpha, beta;
  const T* old;
  Index old_row;
  /// The part from element (i, j) on.
  Target at(Index i, Index j) const {
    return {data + i * row + j, row, alpha, beta, old + i * old_row + j, old_row};
  }
};

/// c[R, columns] from a[R, k] and b[k, C batches]. `kDown`: the rows of A are neighbours in memory
/// (a.row = 1), else its columns are (a.column = 1).
template <class T, int R, int C, bool kDown>
void tile(Index k, const Strided<T>& a, const T* b, Index ldb, const Target<T>& c, Index columns) {
  constexpr Index width = kWidth<T>;
  Batch<T> sum[std::size_t(R)][std::size_t(C)];
  const T* from[std::size_t(R)];
#pragma GCC unroll 6
  for (int i = 0; i < R; i++) {
    from[i] = a.data + i * a.row;
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) __builtin_prefetch(c.data + i * c.row + j * width, 1);
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) sum[i][j] = Batch<T>(T(0));
  }
#pragma GCC unroll 2
  for (Index p = 0; p < k; p++) {
    Batch<T> row[std::size_t(C)];
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) row[j] = xsimd::load_unaligned(b + j * width);
#pragma GCC unroll 6
    for (int i = 0; i < R; i++) {
      const Batch<T> x(kDown ? from[0][i] : from[i][p]);
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) sum[i][j] = xsimd::fma(x, row[j], sum[i][j]);
    }
    b += ldb;
    if (kDown) from[0] += a.column;
  }
  const Batch<T> alpha(c.alpha), beta(c.beta);
#pragma GCC unroll 6
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      T* to = c.data + i * c.row + j * width;
      const T* old = c.old + i * c.old_row + j * width;
      const Index lanes = std::min(width, columns - j * width);
      Batch<T> result = alpha * sum[i][j];
      if (lanes == width) {
        if (c.beta != T(0)) result = xsimd::fma(beta, Batch<T>(xsimd::load_unaligned(old)), result);
        result.store_unaligned(to);
      } else if (lanes > 0) {
        const simd::Rest<T> rest{0, lanes};
        if (c.beta != T(0)) result = xsimd::fma(beta, rest.load(old), result);
        rest.store(to, result);
      }
    }
}

/// c[rows, columns] for up to kRows rows and kColumns columns.
template <class T, bool kDown, int C = kBatches, int R = int(kRows)>
void tile_of(Index rows, Index k, const Strided<T>& a, const T* b, Index ldb, const Target<T>& c,
             Index columns) {
  if constexpr (C > 1 && R == kRows)
    if (columns <= (C - 1) * kWidth<T>) return tile_of<T, kDown, C - 1>(rows, k, a, b, ldb, c, columns);
  if (rows == R) return tile<T, R, C, kDown>(k, a, b, ldb, c, columns);
  if constexpr (R > 1) tile_of<T, kDown, C, R - 1>(rows, k, a, b, ldb, c, columns);
}

/// Exchanges the blocks beside the diagonal in squares of 2 S rows and lanes, then in squares half as large.
template <class T, std::size_t S, class V, std::size_t... I>
inline void exchange_blocks(V* row, std::index_sequence<I...> lanes) {
  constexpr std::size_t N = sizeof...(I);
  for (std::size_t r = 0; r < N; r++)
    if ((r & S) == 0) {
      const V upper = row[r], lower = row[r + S];
      row[r] = __builtin_shufflevector(upper, lower, ((I & S) ? I - S + N : I)...);
      row[r + S] = __builtin_shufflevector(upper, lower, ((I & S) ? I + N : I + S)...);
    }
  if constexpr (S > 1) exchange_blocks<T, S / 2>(row, lanes);
}
/// to[j, i] = from[i, j] for a square of N rows, N a power of two.
template <class T, std::size_t N>
void transpose_square(const T* from, Index from_row, T* to, Index to_row) {
  typename Lanes<T, N>::type rows[N];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < N; r++) std::memcpy(&rows[r], from + Index(r) * from_row, sizeof rows[r]);
  exchange_blocks<T, N / 2>(rows, std::make_index_sequence<N>());
#pragma GCC unroll 16
  for (std::size_t r = 0; r < N; r++) std::memcpy(to + Index(r) * to_row, &rows[r], sizeof rows[r]);
}

/// b[k, columns] as k rows of kColumns elements, zeros after the columns.
template <class T>
void pack(Index k, Index columns, const Strided<T>& b, T* to) {
  constexpr Index wide = kColumns<T>;
  if (b.column == 1) {
    for (Index p = 0; p < k; p++, to += wide)
      if (columns == wide) {
        std::memcpy(to, b.data + p * b.row, std::size_t(wide) * sizeof(T));
      } else {
        std::copy_n(b.data + p * b.row, columns, to);
        std::fill_n(to + columns, wide - columns, T(0));
      }
    return;
  }
  constexpr Index N = kWidth<T>;
  const Index squares = columns / N * N, deep = k / N * N;
  for (Index j = 0; j < squares; j += N)
    for (Index p = 0; p < deep; p += N)
      transpose_square<T, Batch<T>::size>(b.data + j * b.column + p, b.column, to + p * wide + j, wide);
  for (Index p = 0; p < k; p++)
    for (Index j = p < deep ? squares : 0; j < wide; j++)
      to[p * wide + j] = j < columns ? b.data[p * b.row + j * b.column] : T(0);
}

/// a[rows, k], whose columns are contiguous, as groups of k times kRows elements; eight groups at a time, so
/// that cache lines of A are read once.
template <class T>
void pack_down(Index rows, Index k, const Strided<T>& a, T* to) {
  const Index whole = rows / kRows * kRows;
  for (Index i = 0; i < whole; i += 8 * kRows)
    for (Index p = 0; p < k; p++)
      for (Index r = i; r < std::min(whole, i + 8 * kRows); r += kRows)
        std::memcpy(to + r * k + p * kRows, a.data + r + p * a.column, std::size_t(kRows) * sizeof(T));
  for (Index p = 0; p < k && whole < rows; p++)
    for (Index r = whole; r < rows; r++) to[whole * k + p * kRows + r - whole] = a.data[r + p * a.column];
}

/// C = alpha A B + beta C. Of A and of B either rows or columns are contiguous.
template <class T>
void product(Index m, Index n, Index k, const Strided<T>& a, const Strided<T>& b, const Target<T>& c) {
  constexpr Index wide = kColumns<T>;
  alignas(64) T panel[std::size_t(kDepth * wide)];
  // A panel read by many tiles is copied, unless its rows are long and fall into different sets of the cache.
  constexpr Index kReuse = 96;
  const bool scattered = kBatches > 2 && b.row * Index(sizeof(T)) % 2048 != 0;
  const bool down = a.row == 1, copied = down && n > 4 * wide && m > 4 * kRows;
  Tensor copy;
  const Index blocks = (k + kDepth - 1) / kDepth, depth = (k + blocks - 1) / blocks;
  if (copied) copy = Tensor::empty({std::min(kBlock, m + kRows), depth}, DtypeOf<T>::value);
  for (Index p = 0; p < k; p += depth)
    for (Index top = 0; top < m; top += kBlock) {
      const Index deep = std::min(depth, k - p), bottom = std::min(m, top + kBlock);
      if (copied) pack_down(bottom - top, deep, a.at(top, p), copy.data<T>());
      for (Index j = 0; j < n; j += wide) {
        const Index columns = std::min(wide, n - j);
        const Strided<T> from = b.at(p, j);
        const bool in_place = from.column == 1 && columns % kWidth<T> == 0 && (m < kReuse || scattered);
        if (!in_place) pack(deep, columns, from, panel);
        const T* rows = in_place ? from.data : panel;
        const Index ldb = in_place ? from.row : wide;
        for (Index i = top; i < bottom; i += kRows) {
          T* place = c.data + i * c.row + j;  // from the second block on it is added to what is there
          const Target<T> to = p == 0 ? c.at(i, j) : Target<T>{place, c.row, c.alpha, T(1), place, c.row};
          const Strided<T> left =
              copied ? Strided<T>{copy.data<T>() + (i - top) * deep, 1, kRows} : a.at(i, p);
          (down ? tile_of<T, true> : tile_of<T, false>)(std::min(kRows, bottom - i), deep, left, rows, ldb,
                                                        to, columns);
        }
      }
    }
}

/// C = alpha A B^T + beta C for few rows of A: as many rows of B at a time as a batch has lanes, so that
/// their dot products end as the lanes of one batch. The next row of A reads them from the first-level cache.
template <class T>
void dots(Index m, Index n, Index k, const T* a, Index lda, const T* b, Index ldb, const Target<T>& c) {
  constexpr Index N = kWidth<T>;
  for (Index j = 0; j < n; j += N)
    for (Index i = 0; i < m; i++) {
      const T* x = a + i * lda;
      const T* rows[Batch<T>::size];
      for (Index r = 0; r < N; r++) rows[r] = b + std::min(j + r, n - 1) * ldb;
      Batch<T> sum[Batch<T>::size];
      for (Batch<T>& s : sum) s = Batch<T>(T(0));
      Index p = 0;
      for (; p + N <= k; p += N) {
        const Batch<T> v = xsimd::load_unaligned(x + p);
#pragma GCC unroll 16
        for (Index r = 0; r < N; r++)
          sum[r] = xsimd::fma(v, Batch<T>(xsimd::load_unaligned(rows[r] + p)), sum[r]);
      }
      Batch<T> dot = sum_lanes_of<T>(sum);
      const Target<T> to = c.at(i, j);
      if (p == k && j + N <= n) {
        dot *= Batch<T>(c.alpha);
        if (c.beta != T(0)) dot = xsimd::fma(Batch<T>(c.beta), Batch<T>(xsimd::load_unaligned(to.old)), dot);
        dot.store_unaligned(to.data);
        continue;
      }
      alignas(64) T total[Batch<T>::size];
      dot.store_aligned(total);
      for (Index r = 0; r < std::min(N, n - j); r++) {
        for (Index q = p; q < k; q++) total[r] += x[q] * rows[r][q];
        to.data[r] = c.alpha * total[r] + (c.beta == T(0) ? T(0) : c.beta * to.old[r]);
      }
    }
}

// Compiled once, in gemm.cpp.
extern template void product(Index, Index, Index, const Strided<float>&, const Strided<float>&,
                             const Target<float>&);
extern template void product(Index, Index, Index, const Strided<double>&, const Strided<double>&,
                             const Target<double>&);

}  // namespace qkv::gemm_kernel
