#include "qkv/tensor/dtype.h"

namespace qkv {

const char* name_of(Dtype dtype) {
  constexpr const char* kNames[] = {"f32", "f64", "i32"};
  return kNames[int(dtype)];
}

std::vector<std::string> names_of(Dtype) {
  return {"f32", "f64", "i32"};
}

std::size_t size_of(Dtype dtype) {
  return dtype == Dtype::f64 ? 8 : 4;
}

}  // namespace qkv
