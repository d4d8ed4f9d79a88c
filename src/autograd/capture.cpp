#include "qkv/autograd/capture.h"

namespace qkv {

static thread_local Capture* current_capture = nullptr;

Capture::Capture() : outer_(current_capture) {
  current_capture = this;
}
Capture::~Capture() {
  current_capture = outer_;
}
Capture* Capture::current() {
  return current_capture;
}

void Capture::put(const std::string& path, const std::string& name, const Tensor& tensor) {
  tensors_.emplace_back(path.empty() ? name : path + "." + name, tensor);
}

const Tensor* Capture::find(const std::string& name) const {
  for (auto& [known, tensor] : tensors_)
    if (known == name) return &tensor;
  return nullptr;
}

}  // namespace qkv
