#include "qkv/autograd/capture.h"

#include <algorithm>

namespace qkv {

Capture* Capture::wanting(const char* name) {
  Capture* c = current();
  if (!c) return nullptr;
  return c->names_.empty() || std::count(c->names_.begin(), c->names_.end(), name) ? c : nullptr;
}

void Capture::put(const std::string& path, const std::string& name, const Tensor& tensor) {
  tensors_.emplace_back(path.empty() ? name : path + "." + name, tensor);
}

const Tensor* Capture::find(const std::string& name) const {
  for (auto& [known, tensor] : tensors_)
    if (known == name) return &tensor;
  return nullptr;
}

Var Intervention::apply(const std::string& path, const char* name, const Var& x) {
  if (!current() || x.is_symbolic()) return x;
  return current()->change_(path.empty() ? name : path + "." + name, x);
}

}  // namespace qkv
