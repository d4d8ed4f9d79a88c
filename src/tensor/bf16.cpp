#include "tensor/bf16.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <tuple>

namespace qkv::bf16 {
namespace {

using gemm_kernel::Strided, gemm_kernel::Target;

constexpr Index kSide = 32;    // rows and columns of a block
constexpr Index kSquare = 16;  // words on each side of the squares that are packed at once
constexpr Index kDepth = 256;  // pairs of a panel that stays in the first-level cache: 32 KiB

Index round_up(Index n, Index unit) {
  return (n + unit - 1) / unit * unit;
}

std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// The nearest bf16, as the upper half of the bits: half a unit is added, less one bit where a tie would go up
// to an odd number. A NaN gets its quiet bit instead.
std::uint32_t rounded(std::uint32_t bits) {
  const std::uint32_t nearest = bits + 0x7fff + (bits >> 16 & 1);
  return ((bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : nearest) & 0xffff0000;
}

float bf16_of(float x) {
  const std::uint32_t bits = rounded(bits_of(x));
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

std::uint32_t word_of(float first, float second) {
  return rounded(bits_of(first)) >> 16 | rounded(bits_of(second));
}

// The words of 16 rows (of A; columns of B) and 16 pairs. `x` holds element (row, k) at row * x.row + k *
// x.column; `rows` and `k` of them exist. If `by_row`, a row of `to` holds the pairs of one row, else one
// pair of all rows.
void pack_square(Index rows, Index k, Strided<float> x, bool by_row, float* to, Index ld) {
  const bool along = x.column == 1;  // pairs are neighbours in memory
  float copy[2 * kSquare * kSquare];
  if (rows < kSquare || k < 2 * kSquare) {
    std::fill(std::begin(copy), std::end(copy), 0.0f);
    const Strided<float> place =
        along ? Strided<float>{copy, 2 * kSquare, 1} : Strided<float>{copy, 1, kSquare};
    for (Index r = 0; r < rows; r++)
      for (Index p = 0; p < k; p++) copy[r * place.row + p * place.column] = x.data[r * x.row + p * x.column];
    x = place;
  }
  alignas(64) std::uint32_t words[kSquare][kSquare];
  for (Index i = 0; i < kSquare; i++) {
    const float* first = along ? x.data + i * x.row : x.data + 2 * i * x.column;
    if (along)
      for (Index j = 0; j < kSquare; j++) words[i][j] = word_of(first[2 * j], first[2 * j + 1]);
    else
      for (Index j = 0; j < kSquare; j++) words[i][j] = word_of(first[j], first[j + x.column]);
  }
  const float* from = reinterpret_cast<const float*>(words);
  if (along == by_row)
    for (Index i = 0; i < kSquare; i++) std::memcpy(to + i * ld, from + i * kSquare, kSquare * sizeof *to);
  else
    gemm_kernel::transpose_square<float, kSquare>(from, kSquare, to, ld);
}

// Element (row, k) as in `pack_square`. If `by_row`, the words are [size, pairs], else panels of [pairs, 32].
Packed pack(Index size, Index k, const Strided<float>& x, bool by_row) {
  const bool few = by_row && size <= kFewRows;  // of these, units read no others
  Packed packed{Tensor(), few ? size : round_up(size, kSide), round_up(k, 2 * kSquare) / 2};
  packed.words = Tensor::empty({packed.size, packed.pairs});
  float* words = packed.words.data<float>();
  if (few) {
    std::memset(words, 0, packed.words.byte_size());
    for (Index r = 0; r < size; r++) {
      const float* from = x.data + r * x.row;
      auto* to = reinterpret_cast<std::uint32_t*>(words) + r * packed.pairs;
      for (Index p = 0; p < k / 2 && x.column == 1; p++) to[p] = word_of(from[2 * p], from[2 * p + 1]);
      for (Index p = x.column == 1 ? k / 2 : 0; 2 * p < k; p++)
        to[p] = word_of(from[2 * p * x.column], 2 * p + 1 < k ? from[(2 * p + 1) * x.column] : 0.0f);
    }
    return packed;
  }
  const Index ld = by_row ? packed.pairs : kSide;
  for (Index r = 0; r < packed.size; r += kSquare)
    for (Index p = 0; p < packed.pairs; p += kSquare) {
      float* to = words + (by_row ? r * ld + p : r / kSide * packed.pairs * kSide + p * ld + r % kSide);
      const Index there = std::clamp<Index>(size - r, 0, kSquare), depth = std::min(k - 2 * p, 2 * kSquare);
      pack_square(there, depth, x.at(r, 2 * p), by_row, to, ld);
    }
  return packed;
}

// The elements as bf16 would hold them; the rows of the copy, or its columns, are contiguous as those of x.
Tensor rounded_copy(Index rows, Index columns, const Strided<float>& x) {
  const bool by_row = x.column == 1;
  const Index outer = by_row ? rows : columns, inner = by_row ? columns : rows,
              step = by_row ? x.row : x.column;
  Tensor copy = Tensor::empty({outer, inner});
  for (Index i = 0; i < outer; i++) {
    const float* from = x.data + i * step;
    float* to = copy.data<float>() + i * inner;
    for (Index j = 0; j < inner; j++) to[j] = bf16_of(from[j]);
  }
  return copy;
}
Strided<float> strides_of_copy(const Tensor& copy, const Strided<float>& x) {
  return x.column == 1 ? Strided<float>{copy.data<float>(), copy.dim(1), 1}
                       : Strided<float>{copy.data<float>(), 1, copy.dim(1)};
}

// Which B it is: where it lies, its sizes, and whether it is packed for a unit.
using Place = std::tuple<const float*, Index, Index, Index, Index, bool>;

// What the matrices of a parameter are rounded to, made again after the parameters have changed.
struct Kept {
  struct Form {
    Place place;
    std::uint64_t version = 0;
    Packed packed;
  };
  const float* begin = nullptr;
  const float* end = nullptr;
  std::mutex mutex;
  std::vector<Form> forms;
};

std::atomic<std::uint64_t> version{1};
std::shared_mutex kept_mutex;
std::map<const float*, std::unique_ptr<Kept>, std::greater<>> kept;  // by their begin

Kept* kept_of(const float* b) {
  const std::shared_lock lock(kept_mutex);
  const auto found = kept.lower_bound(b);  // the last that begins at b or before
  return found != kept.end() && b < found->second->end ? found->second.get() : nullptr;
}

// B packed for a unit or, without one, as a rounded copy.
Packed round_b(bool packs, Index n, Index k, const Strided<float>& b) {
  return packs ? pack_b(n, k, b) : Packed{rounded_copy(k, n, b), n, 0};
}

// The same, kept where b lies in a parameter. Panels of rows of a parameter (B = W^T, as when decoding) are
// parts of the panels of the whole.
Packed rounded_b(bool packs, Index n, Index k, Strided<float> b) {
  Kept* const parameter = kept_of(b.data);
  if (!parameter) return round_b(packs, n, k, b);
  const Index offset = b.data - parameter->begin, rows = (parameter->end - parameter->begin) / k;
  const bool part = packs && b.row == 1 && b.column == k && offset % (k * kSide) == 0 && n < rows;
  if (part) b.data = parameter->begin;
  const Place place{b.data, part ? rows : n, k, b.row, b.column, packs};
  const std::lock_guard lock(parameter->mutex);
  auto found = std::find_if(parameter->forms.begin(), parameter->forms.end(),
                            [&](const Kept::Form& form) { return form.place == place; });
  if (found == parameter->forms.end()) found = parameter->forms.insert(found, Kept::Form{place, 0, {}});
  Kept::Form& form = *found;
  if (form.version != version) form.packed = round_b(packs, part ? rows : n, k, b), form.version = version;
  if (!part) return form.packed;
  return {form.packed.words.rows(offset / k, round_up(n, kSide)), round_up(n, kSide), form.packed.pairs};
}

}  // namespace

const std::uint32_t* Packed::at(Index row, Index pair) const {
  return reinterpret_cast<const std::uint32_t*>(words.data<float>()) + row * pairs + pair;
}
const std::uint32_t* Packed::panel(Index column, Index pair) const {
  return at(column, 0) + pair * kSide;
}

Packed pack_a(Index m, Index k, const Strided<float>& a) {
  return pack(m, k, a, true);
}
Packed pack_b(Index n, Index k, const Strided<float>& b) {
  return pack(n, k, {b.data, b.column, b.row}, false);
}

const Unit* unit() {
  static const Unit* const best = []() -> const Unit* {
    static const std::vector<Unit> all = units();
    for (const Unit& one : all)
      if (unit_problem(one).empty()) return &one;
    return nullptr;
  }();
  return best;
}

void product(const Unit& unit, Index m, Index n, const Packed& a, const Packed& b, const Target<float>& c) {
  alignas(64) float block[kSide * kSide];
  constexpr Index kRows = 512;  // rows of A that stay in the second-level cache while all panels pass
  const Index deepest = m <= kFewRows ? a.pairs : kDepth;  // few rows read a panel only once
  unit.begin();
  for (Index p = 0; p < a.pairs; p += deepest)
    for (Index top = 0; top < m; top += kRows)
      for (Index j = 0; j < n; j += kSide)
        for (Index i = top; i < std::min(m, top + kRows); i += kSide) {
          const Index rows = std::min(kSide, m - i), columns = std::min(kSide, n - j);
          unit.block(rows, std::min(deepest, a.pairs - p), a.at(i, p), a.pairs, b.panel(j, p), block);
          for (Index r = 0; r < rows; r++) {
            float* to = c.data + (i + r) * c.row + j;
            const float* old = p > 0 ? to : c.old + (i + r) * c.old_row + j;
            const float beta = p > 0 ? 1.0f : c.beta, *sum = block + r * kSide;
            if (beta == 0.0f)
              for (Index s = 0; s < columns; s++) to[s] = c.alpha * sum[s];
            else
              for (Index s = 0; s < columns; s++) to[s] = c.alpha * sum[s] + beta * old[s];
          }
        }
  unit.end();
}

void product(Index m, Index n, Index k, const Strided<float>& a, const Strided<float>& b,
             const Target<float>& c) {
  const Unit* best = unit();
  const bool packs = best && (m <= kFewRows || is_fast(*best));
  const Packed right = rounded_b(packs, n, k, b);
  if (packs) return product(*best, m, n, pack_a(m, k, a), right, c);
  const Tensor left = rounded_copy(m, k, a);
  gemm_kernel::product(m, n, k, strides_of_copy(left, a), strides_of_copy(right.words, b), c);
}

void round_if_chosen(Index n, float* x) {
  if (matmul_in_use() != Matmul::bf16) return;
  for (Index i = 0; i < n; i++) x[i] = bf16_of(x[i]);
}

void keep_rounded(const Tensor& parameter) {
  if (parameter.is_symbolic() || parameter.dtype() != Dtype::f32) return;
  auto entry = std::make_unique<Kept>();
  entry->begin = parameter.data<float>(), entry->end = entry->begin + parameter.size();
  const std::lock_guard lock(kept_mutex);
  kept[entry->begin] = std::move(entry);
}

void forget_rounded(const Tensor& parameter) {
  if (parameter.is_symbolic() || parameter.dtype() != Dtype::f32) return;
  const std::lock_guard lock(kept_mutex);
  kept.erase(parameter.data<float>());
}

void parameters_changed() {
  version++;
}

}  // namespace qkv::bf16
