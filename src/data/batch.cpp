#include "qkv/data/batch.h"

#include <cstring>

#include "qkv/base/text.h"

namespace qkv {

Batch::Name::Name(std::string_view text) : size_(text.size()) {
  QKV_CHECK(!text.empty() && text.size() <= kMaxName, "batch: a name must have 1 to {} bytes; got {}",
            std::size_t{kMaxName}, in_quotes(text));
  std::memcpy(text_, text.data(), text.size());
}

const Tensor* Batch::find(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.name.view() == name) return &entry.tensor;
  return nullptr;
}

const Tensor& Batch::at(std::string_view name) const {
  const Tensor* found = find(name);
  if (!found)
    fail(Fault::runtime, "batch: must have {}; got {}", in_quotes(name),
         empty() ? "an empty batch" : join(names(), ", "));
  return *found;
}

Tensor* Batch::find_mutable(std::string_view name) {
  return const_cast<Tensor*>(find(name));
}

void Batch::set(std::string_view name, Tensor tensor) {
  if (Tensor* found = find_mutable(name))
    *found = std::move(tensor);
  else
    entries_.push_back({Name(name), std::move(tensor)});
}

Tensor Batch::fill(std::string_view name, const Shape& shape, Dtype dtype) {
  Tensor* tensor = find_mutable(name);
  if (!tensor) {
    entries_.push_back({Name(name), {}});
    tensor = &entries_.back().tensor;
  }
  if (!tensor->unique() || tensor->shape() != shape || tensor->dtype() != dtype)
    *tensor = Tensor::empty(shape, dtype);
  return *tensor;
}

std::vector<std::string> Batch::names() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_) result.emplace_back(entry.name.view());
  return result;
}

Batch Batch::symbolic() const {
  Batch result;
  for (auto& [name, tensor] : entries_)
    result.set(name.view(), Tensor::symbolic(tensor.shape(), tensor.dtype()));
  return result;
}

std::string Batch::str() const {
  std::string text;
  for (const Entry& entry : entries_)
    text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", entry.name.view(), entry.tensor.dtype(),
                        entry.tensor.shape());
  return text;
}

}  // namespace qkv
