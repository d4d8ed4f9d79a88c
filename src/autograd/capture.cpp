#include "qkv/autograd/capture.h"

#include <algorithm>

namespace qkv {

static thread_local Capture* current_capture = nullptr;

Capture::Capture(std::vector<std::string> names) : outer_(current_capture), names_(std::move(names)) {
  current_capture = this;
}
Capture::~Capture() {
  current_capture = outer_;
}
Capture* Capture::current() {
  return current_capture;
}

Capture* Capture::wanting(const char* name) {
  Capture* c = current_capture;
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

static thread_local Intervention* current_intervention = nullptr;

Intervention::Intervention(Change change) : outer_(current_intervention), change_(std::move(change)) {
  current_intervention = this;
}
Intervention::~Intervention() {
  current_intervention = outer_;
}
bool Intervention::active() {
  return current_intervention != nullptr;
}

Var Intervention::apply(const std::string& path, const char* name, const Var& x) {
  if (!current_intervention || x.is_symbolic()) return x;
  return current_intervention->change_(path.empty() ? name : path + "." + name, x);
}

}  // namespace qkv
