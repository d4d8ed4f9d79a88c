#include "qkv/base/error.h"

namespace qkv {

const std::string*& LayerPath::current() {
  static thread_local const std::string* path = nullptr;
  return path;
}

void raise(Fault fault, std::string message) {
  const std::string* path = LayerPath::current();
  if (!path || path->empty()) throw Error(std::move(message), fault);
  throw Error(message + " (in " + *path + ")", fault, *path);
}

}  // namespace qkv
