// The product of small matrices on xsimd batches: a tile of C stays in registers while a panel of B, at most
// 24 KiB and so in the first-level cache, is read against rows of A where they lie (Goto and van de Geijn
// 2008, "Anatomy of high-performance matrix multiplication", without the blocks that large matrices need).
//
// Every element of C is one chain of fused multiply-adds in the order of k, whatever the sizes around it.
#pragma once
#include <algorithm>

#include "tensor/gemm.h"
#include "tensor/rows.h"

namespace qkv::gemm_kernel {

using simd::Batch, simd::kWidth, simd::Lanes;
/// A tile is six rows of two batches: with a row of B and an element of A it fills sixteen registers.
constexpr Index kRows = 6;
template <class T>
constexpr Index kColumns = 2 * kWidth<T>;
/// Rows of a panel of B.
template <class T>
constexpr Index kDepth = 24 * 1024 / Index(sizeof(T)) / kColumns<T>;

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
    __builtin_prefetch(c.data + i * c.row, 1);
#pragma GCC unroll 2
    for (int j = 0; j < C; j++) sum[i][j] = Batch<T>(T(0));
  }
#pragma GCC unroll 4
  for (Index p = 0; p < k; p++) {
    Batch<T> row[std::size_t(C)];
#pragma GCC unroll 2
    for (int j = 0; j < C; j++) row[j] = xsimd::load_unaligned(b + j * width);
#pragma GCC unroll 6
    for (int i = 0; i < R; i++) {
      const Batch<T> x(kDown ? from[0][i] : from[i][p]);
#pragma GCC unroll 2
      for (int j = 0; j < C; j++) sum[i][j] = xsimd::fma(x, row[j], sum[i][j]);
    }
    b += ldb;
    if (kDown) from[0] += a.column;
  }
  const Batch<T> alpha(c.alpha), beta(c.beta);
#pragma GCC unroll 6
  for (int i = 0; i < R; i++)
#pragma GCC unroll 2
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

template <class T, int C, bool kDown, int R = int(kRows)>
void tile_of(Index rows, Index k, const Strided<T>& a, const T* b, Index ldb, const Target<T>& c,
             Index columns) {
  if (rows == R) return tile<T, R, C, kDown>(k, a, b, ldb, c, columns);
  if constexpr (R > 1) tile_of<T, C, kDown, R - 1>(rows, k, a, b, ldb, c, columns);
}

/// to[j, i] = from[i, j] for a square of four.
template <class T>
inline void transpose_four(const T* from, Index from_row, T* to, Index to_row) {
  typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
  const auto row = [&](Index i) {
    return *reinterpret_cast<const Four*>(from + i * from_row);
  };
  const Four a = row(0), b = row(1), c = row(2), d = row(3);
  const Four ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const auto column = [&](Index j) -> Four& {
    return *reinterpret_cast<Four*>(to + j * to_row);
  };
  column(0) = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
  column(1) = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
  column(2) = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
  column(3) = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
}

/// b[k, columns] as k rows of kColumns elements, zeros after the columns.
template <class T>
void pack(Index k, Index columns, const Strided<T>& b, T* to) {
  constexpr Index wide = kColumns<T>;
  if (b.column == 1) {
    for (Index p = 0; p < k; p++) {
      std::copy_n(b.data + p * b.row, columns, to + p * wide);
      std::fill_n(to + p * wide + columns, wide - columns, T(0));
    }
    return;
  }
  const Index fours = columns / 4 * 4, deep = k / 4 * 4;
  for (Index j = 0; j < fours; j += 4)
    for (Index p = 0; p < deep; p += 4)
      transpose_four(b.data + j * b.column + p, b.column, to + p * wide + j, wide);
  for (Index p = 0; p < k; p++)
    for (Index j = p < deep ? fours : 0; j < wide; j++)
      to[p * wide + j] = j < columns ? b.data[p * b.row + j * b.column] : T(0);
}

/// C = alpha A B + beta C. Of A and of B either rows or columns are contiguous.
template <class T>
void product(Index m, Index n, Index k, const Strided<T>& a, const Strided<T>& b, const Target<T>& c) {
  constexpr Index wide = kColumns<T>;
  constexpr Index kReuse = 96;  // rows of A from which copying a panel pays that could be read in place
  alignas(64) T panel[kDepth<T> * wide];
  const Index blocks = (k + kDepth<T> - 1) / kDepth<T>, depth = (k + blocks - 1) / blocks;
  for (Index p = 0; p < k; p += depth) {
    const Index deep = std::min(depth, k - p);
    for (Index j = 0; j < n; j += wide) {
      const Index columns = std::min(wide, n - j);
      const Strided<T> from = b.at(p, j);
      const bool in_place = from.column == 1 && columns % kWidth<T> == 0 && m < kReuse;
      if (!in_place) pack(deep, columns, from, panel);
      const T* rows = in_place ? from.data : panel;
      const Index ldb = in_place ? from.row : wide;
      for (Index i = 0; i < m; i += kRows) {
        T* place = c.data + i * c.row + j;  // from the second block on it is added to what is there
        const Target<T> to = p == 0 ? c.at(i, j) : Target<T>{place, c.row, c.alpha, T(1), place, c.row};
        const Strided<T> left = a.at(i, p);
        auto run = [&](auto tile) {
          tile(std::min(kRows, m - i), deep, left, rows, ldb, to, columns);
        };
        if (columns > kWidth<T>)
          run(left.row == 1 ? tile_of<T, 2, true> : tile_of<T, 2, false>);
        else
          run(left.row == 1 ? tile_of<T, 1, true> : tile_of<T, 1, false>);
      }
    }
  }
}

/// C = alpha A B^T + beta C for few rows of A: as many rows of B at a time as a batch has lanes, so that
/// their dot products end as the lanes of one batch. What the next row of A reads again is in the first-level
/// cache.
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

}  // namespace qkv::gemm_kernel
