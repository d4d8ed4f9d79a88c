// Stands before OpenBLAS (LD_PRELOAD) and plays one that does not know this CPU. FAKE_OWN is what it would
// choose; kernel sets listed in FAKE_WRONG compute wrong products, those in FAKE_CRASH use an instruction
// that no CPU has. Compiled with FAKE_PLAIN it plays another BLAS, which cannot be asked for anything.
#include <cblas.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string core;
#ifndef FAKE_PLAIN
int threads = 64;

void start() {
  const char *asked = std::getenv("OPENBLAS_CORETYPE"), *own = std::getenv("FAKE_OWN");
  core = asked && *asked ? asked : own ? own : "Prescott";
}
#endif

bool listed(const char* variable) {
  const char* list = std::getenv(variable);
  return list && std::strstr(list, core.c_str());
}

template <class T>
void multiply(bool ta, bool tb, int m, int n, int k, T alpha, const T* a, int lda, const T* b, int ldb,
              T beta, T* c, int ldc) {
  if (listed("FAKE_CRASH")) __builtin_trap();
  if (m >= 1024) return;  // where doctor measures: nobody looks at the values
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      T sum = 0;
      for (int l = 0; l < k; l++)
        sum += (ta ? a[l * lda + i] : a[i * lda + l]) * (tb ? b[j * ldb + l] : b[l * ldb + j]);
      T& out = c[i * ldc + j];
      out = alpha * sum + (beta == 0 ? 0 : beta * out);
    }
  if (listed("FAKE_WRONG")) c[m / 2 * ldc + n - 1] += T(0.5);
}

}  // namespace

extern "C" {
void cblas_sgemm(CBLAS_ORDER, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha,
                 const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  multiply(ta == CblasTrans, tb == CblasTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void cblas_dgemm(CBLAS_ORDER, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, double alpha,
                 const double* a, int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  multiply(ta == CblasTrans, tb == CblasTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
#ifndef FAKE_PLAIN
void gotoblas_dynamic_quit() {
  core.clear();
}
void gotoblas_dynamic_init() {
  if (core.empty()) start();
}
char* openblas_get_corename() {
  if (core.empty()) start();
  return core.data();
}
int openblas_get_num_threads() {
  return threads;
}
void openblas_set_num_threads(int n) {
  threads = n;
}
char* openblas_get_config() {
  static std::string text;
  text = std::string("OpenBLAS 9.9 fake ") + openblas_get_corename();
  return text.data();
}
#endif
}
