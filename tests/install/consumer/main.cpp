// A user's program: it must get the flags that change qkv's types together with the library.
#include <qkv/tensor/blas.h>
#include <qkv/tensor/tensor.h>

#include <cstdio>

#ifndef XTENSOR_USE_XSIMD
#error "the package must define XTENSOR_USE_XSIMD"
#endif

// And the kernels of its products are chosen when it starts, as for the program.
int main() {
  std::puts(qkv::Tensor::full({2, 3}, 1.5).str().c_str());
  const qkv::Blas blas = qkv::blas();
  std::printf("kernels %s, chosen by %s\n", blas.core.c_str(), blas.chosen_by.c_str());
}
