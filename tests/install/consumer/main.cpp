// A user's program: it must get the flags that change qkv's types together with the library.
#include <dlfcn.h>
#include <qkv/tensor/tensor.h>

#include <cstdio>

#ifndef XTENSOR_USE_XSIMD
#error "the package must define XTENSOR_USE_XSIMD"
#endif

// And the kernels of its products are chosen when it starts, as for the program.
int main() {
  std::puts(qkv::Tensor::full({2, 3}, 1.5).str().c_str());
  auto* core = reinterpret_cast<char* (*)()>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  std::printf("kernels %s\n", core ? core() : "unknown");
}
