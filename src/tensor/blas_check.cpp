// What the BLAS is compared with: the features and the speed of the CPU, and our own kernel.
#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <csignal>
#include <iterator>
#include <limits>
#include <mutex>

#include "base/clock.h"
#include "gemm_kernel.h"
#include "qkv/base/random.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "tensor/bf16.h"
#include "tensor/blas.h"

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

// Products of the BLAS against our own kernel, with a net under it: kernels of an old library may compute
// wrong values on a CPU that they were not written for, or use instructions that it lacks.
namespace {

thread_local sigjmp_buf* landing = nullptr;

extern "C" void land(int number) {
  if (landing) siglongjmp(*landing, number);
  std::signal(number, SIG_DFL);  // not ours: the instruction runs again, and ends the process
}

// While it lives, a fault of this thread jumps to `landing`.
class Net {
 public:
  Net() {
    struct sigaction action = {};
    action.sa_handler = land;
    sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < std::size(kFaults); i++) sigaction(kFaults[i], &action, &before_[i]);
  }
  ~Net() {
    for (std::size_t i = 0; i < std::size(kFaults); i++) sigaction(kFaults[i], &before_[i], nullptr);
  }
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

 private:
  static constexpr int kFaults[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
  struct sigaction before_[std::size(kFaults)];
};

struct Product {
  Trans ta, tb;
  int m, n, k, lda, ldb, ldc;
  float beta;  // 0: C is not read, and holds NaN
};

// 0, or the signal. Nothing in the product needs a destructor, which the jump would pass over.
int fault_of(FunctionRef<void()> product) {
  sigjmp_buf here;
  const int number = sigsetjmp(here, 1);
  if (number == 0) {
    landing = &here;
    product();
  }
  landing = nullptr;
  return number;
}

// At least `count` numbers in [-1, 1), made once: the test must cost nothing that a user would notice.
template <class T>
const T* numbers(std::size_t count) {
  static std::vector<T> made;  // one test at a time
  for (auto state = std::uint32_t(made.size()); made.size() < count;) {
    state = state * 1664525 + 1013904223;
    made.push_back(T(std::int32_t(state)) / T(std::int64_t{1} << 31));
  }
  return made.data();
}

// What is wrong with C = 0.5 op(A) op(B) + beta C, whose rows have elements between them that must stay.
template <class T>
std::string problem_of(const Product& p) {
  auto size = [](int rows, int row) {
    return std::size_t(rows) * std::size_t(row);
  };
  const std::size_t size_a = size(p.ta == Trans::yes ? p.k : p.m, p.lda),
                    size_b = size(p.tb == Trans::yes ? p.n : p.k, p.ldb), size_c = size(p.m, p.ldc);
  const T* a = numbers<T>(std::max({size_a, size_b, size_c}) + 29);
  const T* b = a + 13;
  std::vector<T> right(a + 29, a + 29 + size_c);
  if (p.beta == 0)
    for (int i = 0; i < p.m; i++)
      std::fill_n(right.begin() + i * p.ldc, p.n, std::numeric_limits<T>::quiet_NaN());
  auto c = right;
  if (const int number = fault_of([&] {
        blas_product(p.ta, p.tb, p.m, p.n, p.k, T(0.5), a, p.lda, b, p.ldb, T(p.beta), c.data(), p.ldc);
      }))
    return fmt::format("crashes with signal {} in products", number);
  gemm_kernel::product<T>(p.m, p.n, p.k, gemm_kernel::strided(p.ta, a, p.lda),
                          gemm_kernel::strided(p.tb, b, p.ldb),
                          {right.data(), p.ldc, T(0.5), T(p.beta), right.data(), p.ldc});
  const T most = std::numeric_limits<T>::epsilon() * T(8 * (p.k + 2));
  for (std::size_t i = 0; i < c.size(); i++)
    if (!(std::abs(c[i] - right[i]) <= most))
      return fmt::format("computes wrong products in {} ({} x {} x {})", sizeof(T) == 4 ? "f32" : "f64", p.m,
                         p.n, p.k);
  return "";
}

}  // namespace

std::string vector_set() {
  return xsimd::default_arch::name();
}

std::string product_problem(int rounds, std::uint64_t seed) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  // Around the tiles and blocks of kernels: one row, one column, odd edges, depths beyond a block.
  constexpr int kSizes[][3] = {{1, 67, 33},  {67, 1, 129}, {5, 3, 300},
                               {35, 49, 17}, {64, 64, 64}, {130, 71, 97}};
  const Net net;
  Stream random(seed, "product test");
  auto some = [&](int most) {
    return 1 + int(random.below(std::uint64_t(most)));
  };
  for (int round = 0; round < rounds; round++)
    for (const auto& [m, n, k] : kSizes)
      for (int transposes = 0; transposes < 4; transposes++) {
        Product p{Trans(transposes & 1), Trans(transposes >> 1), m, n, k, 0, 0, 0, m % 2 ? 2.0f : 0.0f};
        if (round > 0) p.m = some(2 * m + 60), p.n = some(2 * n + 60), p.k = some(2 * k + 200);
        p.lda = (p.ta == Trans::yes ? p.m : p.k) + some(9),
        p.ldb = (p.tb == Trans::yes ? p.k : p.n) + some(9);
        p.ldc = p.n + some(9);
        std::string problem = problem_of<float>(p);
        if (problem.empty()) problem = problem_of<double>(p);
        if (!problem.empty()) return problem;
      }
  return "";
}

std::string bf16::unit_problem(const Unit& unit) {
  // Small whole numbers are exact in bf16, and so are their sums in f32.
  constexpr Index kSizes[][3] = {{1, 70, 33}, {2, 5, 600}, {35, 49, 17}, {64, 64, 64}, {70, 33, 1100}};
  const Net net;
  Stream random(3, "unit test");
  auto whole_numbers = [&](Index count) {
    std::vector<float> values(std::size_t(count), 0.0f);
    for (float& value : values) value = float(random.below(17)) - 8.0f;
    return values;
  };
  for (const auto& [m, n, k] : kSizes)
    for (const bool down : {false, true}) {
      const std::vector<float> a = whole_numbers(m * k), b = whole_numbers(k * n);
      std::vector<float> c = whole_numbers(m * n), right = c;
      const gemm_kernel::Strided<float> left{a.data(), down ? 1 : k, down ? m : 1},
          above{b.data(), down ? 1 : n, down ? k : 1};
      const Packed packed_a = pack_a(m, k, left), packed_b = pack_b(n, k, above);
      auto target = [n = n](std::vector<float>& to) {
        return gemm_kernel::Target<float>{to.data(), n, 0.5f, 2.0f, to.data(), n};
      };
      if (const int number =
              fault_of([&, m = m, n = n] { product(unit, m, n, packed_a, packed_b, target(c)); }))
        return fmt::format("crashes with signal {}", number);
      gemm_kernel::product(m, n, k, left, above, target(right));
      if (c != right) return fmt::format("computes wrong products ({} x {} x {})", m, n, k);
    }
  return "";
}

}  // namespace qkv
