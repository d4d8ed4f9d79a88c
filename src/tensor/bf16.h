// Products of f32 matrices whose operands are rounded to bf16 while sums stay f32: what the matrix units of
// current CPUs compute several times faster than products of f32.
#pragma once
#include <string>
#include <vector>

#include "qkv/tensor/tensor.h"
#include "tensor/gemm_kernel.h"

namespace qkv::bf16 {

/// So many rows of A take the time of reading B, whose words are half as long as its elements.
constexpr Index kFewRows = 2;

/// An operand, rounded to the nearest bf16 (ties to even; a NaN stays one): pairs of neighbours along k, as
/// words of 32 bits. Of A [m, k] each row holds its pairs. B [k, n] is cut into panels of 32 columns, in
/// which each row holds one pair of every column. Zeros fill k and the rows or columns up to multiples of 32;
/// an A of few rows has no others.
struct Packed {
  Tensor words;                                          ///< as f32 [rows or columns, pairs]
  Index size = 0, pairs = 0;                             ///< rows of A or columns of B, and pairs along k
  const std::uint32_t* at(Index row, Index pair) const;  ///< of A
  const std::uint32_t* panel(Index column, Index pair) const;  ///< of B
};
Packed pack_a(Index m, Index k, const gemm_kernel::Strided<float>& a);
Packed pack_b(Index n, Index k, const gemm_kernel::Strided<float>& b);

/// A unit of the CPU. `block` computes c [32, 32] = the products of `pairs` pairs of `rows` rows of A, which
/// are `lda` words apart, and a panel of B; later rows may hold anything. `begin` and `end` enclose blocks.
struct Unit {
  const char* name;
  void (*begin)();
  void (*end)();
  void (*block)(Index rows, Index pairs, const std::uint32_t* a, Index lda, const std::uint32_t* b, float* c);
};
/// Those that this CPU has, best first: "AMX" (tiles), "AVX512-BF16" (vectors).
std::vector<Unit> units();
/// "" or what is wrong with products of the unit, as `product_problem` of the BLAS. A crash is caught.
std::string unit_problem(const Unit& unit);
/// The first of them that computes right products; null where there is none. Tried at the first call.
const Unit* unit();

/// Whether products of more than a few rows are faster by this unit than in f32. Measured on Emerald Rapids
/// without AMX: 81 GFLOP/s with VDPBF16PS, which Intel's servers issue every other cycle, against 140 in f32.
bool is_fast(const Unit& unit);

/// C = alpha A B + beta C by a unit.
void product(const Unit& unit, Index m, Index n, const Packed& a, const Packed& b,
             const gemm_kernel::Target<float>& c);
/// The same by the best unit where that is faster, else in f32 of rounded elements.
void product(Index m, Index n, Index k, const gemm_kernel::Strided<float>& a,
             const gemm_kernel::Strided<float>& b, const gemm_kernel::Target<float>& c);

/// x as bf16 would hold it, in place, where `run.matmul` says so. Products of such values need no rounding.
void round_if_chosen(Index n, float* x);
inline void round_if_chosen(Index, double*) {}

/// From here on, what a B within this parameter is rounded to is kept until `parameters_changed`.
void keep_rounded(const Tensor& parameter);
/// Before the parameter ends.
void forget_rounded(const Tensor& parameter);
void parameters_changed();

}  // namespace qkv::bf16
