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

bool Intervention::wants(const char* name) const {
  return names_.empty() ? std::string("weights") != name : std::count(names_.begin(), names_.end(), name) > 0;
}

bool Intervention::wanting(const char* name) {
  for (const Intervention* one = current(); one; one = one->outer())
    if (one->wants(name)) return true;
  return false;
}

Var Intervention::act(const std::string& path, const char* name, const Var& x) const {
  const Var given = outer() ? outer()->act(path, name, x) : x;
  if (!wants(name)) return given;
  const std::string full = path.empty() ? name : path + "." + name;
  const Var changed = change_(full, given);
  QKV_CHECK(changed.shape() == x.shape() && changed.dtype() == x.dtype(),
            "intervention: '{}' must stay {} {}; got {} {}", full, name_of(x.dtype()), x.shape(),
            name_of(changed.dtype()), changed.shape());
  return changed;
}

Var Intervention::apply(const std::string& path, const char* name, const Var& x) {
  if (!current() || x.is_symbolic()) return x;
  return current()->act(path, name, x);
}

Var heard(const char* name, const Var& x) {
  if (x.is_symbolic()) return x;
  const std::string path = LayerPath::current() ? *LayerPath::current() : "";
  const Var y = Intervention::apply(path, name, x);
  if (Capture* capture = Capture::wanting(name)) capture->put(path, name, y.value());
  return y;
}

}  // namespace qkv
