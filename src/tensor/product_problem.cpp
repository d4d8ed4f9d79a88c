// Products of the BLAS against our own kernel, with a net under it: kernels of an old library may compute
// wrong values on a CPU that they were not written for, or use instructions that it lacks.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <csignal>
#include <iterator>
#include <limits>
#include <mutex>

#include "gemm_kernel.h"
#include "qkv/base/random.h"
#include "qkv/tensor/blas.h"
#include "tensor/gemm.h"

namespace qkv {
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

void multiply(const Product& p, const float* a, const float* b, float* c) {
  cblas_sgemm(CblasRowMajor, p.ta == Trans::yes ? CblasTrans : CblasNoTrans,
              p.tb == Trans::yes ? CblasTrans : CblasNoTrans, p.m, p.n, p.k, 0.5f, a, p.lda, b, p.ldb, p.beta,
              c, p.ldc);
}
void multiply(const Product& p, const double* a, const double* b, double* c) {
  cblas_dgemm(CblasRowMajor, p.ta == Trans::yes ? CblasTrans : CblasNoTrans,
              p.tb == Trans::yes ? CblasTrans : CblasNoTrans, p.m, p.n, p.k, 0.5, a, p.lda, b, p.ldb, p.beta,
              c, p.ldc);
}

// 0, or the signal. Nothing here needs a destructor, which the jump would pass over.
template <class T>
int fault_of(const Product& p, const T* a, const T* b, T* c) {
  sigjmp_buf here;
  const int number = sigsetjmp(here, 1);
  if (number == 0) {
    landing = &here;
    multiply(p, a, b, c);
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
  if (const int number = fault_of(p, a, b, c.data()))
    return fmt::format("crashes with signal {} in products", number);
  auto strided = [](Trans t, const T* x, Index ld) {
    return t == Trans::yes ? gemm_kernel::Strided<T>{x, 1, ld} : gemm_kernel::Strided<T>{x, ld, 1};
  };
  gemm_kernel::product<T>(p.m, p.n, p.k, strided(p.ta, a, p.lda), strided(p.tb, b, p.ldb),
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

}  // namespace qkv
