#include <algorithm>
#include <iterator>

#include "base/clock.h"
#include "qkv/base/text.h"
#include "qkv/tensor/blas.h"

namespace qkv {
namespace {

struct KernelSet {
  const char* core;
  CpuLevel needs;
};

// By level, the best for any CPU of that level first. Cooperlake and SapphireRapids multiply f32 and f64 with
// the kernels of SkylakeX.
constexpr KernelSet kKernelSets[] = {
    {"SkylakeX", CpuLevel::avx512}, {"Cooperlake", CpuLevel::avx512}, {"SapphireRapids", CpuLevel::avx512},
    {"Haswell", CpuLevel::avx2},    {"Zen", CpuLevel::avx2},          {"Excavator", CpuLevel::avx2},
    {"Sandybridge", CpuLevel::avx}, {"Bulldozer", CpuLevel::avx},     {"Piledriver", CpuLevel::avx},
    {"Steamroller", CpuLevel::avx}, {"Nehalem", CpuLevel::sse42},     {"Barcelona", CpuLevel::sse42},
    {"Prescott", CpuLevel::base},   {"Core2", CpuLevel::base},        {"Penryn", CpuLevel::base},
    {"Dunnington", CpuLevel::base}, {"Atom", CpuLevel::base},         {"Nano", CpuLevel::base},
    {"Opteron", CpuLevel::base},    {"Opteron_SSE3", CpuLevel::base}, {"Bobcat", CpuLevel::base},
};

const KernelSet* find(const std::string& core) {
  const auto* found = std::find_if(std::begin(kKernelSets), std::end(kKernelSets), [&](const KernelSet& set) {
    return lower_ascii(set.core) == lower_ascii(core);
  });
  return found == std::end(kKernelSets) ? nullptr : found;
}

}  // namespace

CpuLevel cpu_level() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();  // may run before main
  auto all = [](auto... has) {
    return (... && (has != 0));
  };
#define QKV_HAS(name) __builtin_cpu_supports(name)
  if (all(QKV_HAS("avx512f"), QKV_HAS("avx512cd"), QKV_HAS("avx512bw"), QKV_HAS("avx512dq"),
          QKV_HAS("avx512vl")))
    return CpuLevel::avx512;
  if (all(QKV_HAS("avx2"), QKV_HAS("fma"))) return CpuLevel::avx2;
  if (QKV_HAS("avx")) return CpuLevel::avx;
  if (QKV_HAS("sse4.2")) return CpuLevel::sse42;
#undef QKV_HAS
#endif
  return CpuLevel::base;
}

const char* name_of(CpuLevel level) {
  constexpr const char* kNames[] = {"SSE2", "SSE4.2", "AVX", "AVX2 with FMA", "AVX-512"};
  return kNames[int(level)];
}

CpuLevel kernel_level(const std::string& core) {
  const KernelSet* set = find(core);
  return set ? set->needs : CpuLevel::base;
}

std::vector<std::string> kernel_sets(CpuLevel cpu, const std::string& own) {
  std::vector<std::string> result;
  if (const KernelSet* known = find(own))
    for (CpuLevel level = cpu; level > known->needs; level = CpuLevel(int(level) - 1))
      result.push_back(
          std::find_if(std::begin(kKernelSets), std::end(kKernelSets), [&](const KernelSet& set) {
            return set.needs == level;
          })->core);
  result.push_back(own);
  return result;
}

namespace {

// Independent chains of multiply-adds, more than the units of a CPU have under way at once.
constexpr int kChains = 12;
#if defined(__x86_64__) || defined(__i386__)
#define QKV_TARGET(isa) __attribute__((target(isa)))
#else
#define QKV_TARGET(isa)
#endif
#define QKV_MULTIPLY_ADDS(name, bytes, isa)                                               \
  QKV_TARGET(isa) float name(int times) {                                                 \
    typedef float Vector __attribute__((vector_size(bytes)));                             \
    const Vector x = Vector{} + 0.5f;                                                     \
    Vector sum[kChains];                                                                  \
    for (int j = 0; j < kChains; j++) sum[j] = Vector{} + float(j);                       \
    for (int i = 0; i < times; i++)                                                       \
      _Pragma("GCC unroll 12") for (int j = 0; j < kChains; j++) sum[j] = sum[j] * x + x; \
    Vector total = sum[0];                                                                \
    for (int j = 1; j < kChains; j++) total += sum[j];                                    \
    return total[0];                                                                      \
  }
QKV_MULTIPLY_ADDS(multiply_adds_128, 16, "sse2")
#if defined(__x86_64__) || defined(__i386__)
QKV_MULTIPLY_ADDS(multiply_adds_avx, 32, "avx")
QKV_MULTIPLY_ADDS(multiply_adds_fma, 32, "avx2,fma")
QKV_MULTIPLY_ADDS(multiply_adds_512, 64, "avx512f")
#endif

}  // namespace

double peak_gflops() {
  float (*run)(int) = multiply_adds_128;
  int lanes = 4;
#if defined(__x86_64__) || defined(__i386__)
  const CpuLevel level = cpu_level();
  if (level >= CpuLevel::avx) run = level == CpuLevel::avx ? multiply_adds_avx : multiply_adds_fma, lanes = 8;
  if (level == CpuLevel::avx512) run = multiply_adds_512, lanes = 16;
#endif
  constexpr int kTimes = 50'000, kRuns = 20;
  double best = 0;
  for (int i = 0; i < kRuns; i++) {
    const double start = steady_seconds();
    volatile float keep = run(kTimes);
    static_cast<void>(keep);
    const double seconds = steady_seconds() - start;
    best = std::max(best, 2.0 * lanes * kChains * kTimes / seconds / 1e9);
  }
  return best;
}

}  // namespace qkv
