// The BLAS that computes large products: which of its kernel sets, who chose it, and whether it is right.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace qkv {

/// What kernels can make use of; each level includes those before it. avx2: with fused multiply-adds; avx512:
/// F, CD, BW, DQ and VL.
enum class CpuLevel { base, sse42, avx, avx2, avx512 };
CpuLevel cpu_level();
const char* name_of(CpuLevel level);

/// The level that a kernel set of OpenBLAS needs; one whose name is unknown needs none.
CpuLevel kernel_level(const std::string& core);

/// The kernel sets to use on such a CPU, best first, where OpenBLAS by itself took `own`, which is the last.
/// OpenBLAS looks up the model of the CPU and does not know newer ones. A set that is as good as the
/// CPU is left alone, and so is one whose name is unknown here.
std::vector<std::string> kernel_sets(CpuLevel cpu, const std::string& own);

/// The state of the BLAS.
struct Blas {
  std::string library;    ///< name, version and configuration, e.g. "OpenBLAS 0.3.21 ... SkylakeX"
  std::string core;       ///< its kernel set; "none" where qkv computes large products itself
  std::string chosen_by;  ///< "OpenBLAS", "qkv" or "OPENBLAS_CORETYPE"
  std::string note;       ///< what kept from a better choice, or ""
  int threads = 1;        ///< within one product: 1, as products are spread over workers above it
};

/// Asks for the state. The kernel set is chosen when the library is loaded and tested at the first large
/// product or the first call of this function; one that fails is replaced by the next.
Blas blas();

/// Whether large products may go to the BLAS; tests it at the first call. Throws where the system refuses the
/// memory of its buffers, which OpenBLAS would request forever.
bool blas_ready();

/// Compares products of odd sizes, transposes and strides in f32 and f64 with qkv's own kernel: "" or what is
/// wrong. A crash is caught.
std::string product_problem(int rounds, std::uint64_t seed);

/// The vector instructions that qkv itself was compiled for, e.g. "avx512bw".
std::string vector_set();

/// Fused multiply-adds of one thread, in GFLOP/s, by the widest registers of this CPU: no product is faster.
double peak_gflops();

}  // namespace qkv
