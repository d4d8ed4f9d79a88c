// A user's program: it must get the flags that change qkv's types together with the library.
#include <qkv/tensor/tensor.h>

#include <cstdio>

#ifndef XTENSOR_USE_XSIMD
#error "the package must define XTENSOR_USE_XSIMD"
#endif

int main() { std::puts(qkv::Tensor::full({2, 3}, 1.5).str().c_str()); }
