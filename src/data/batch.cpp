#include "qkv/data/batch.h"

#include "qkv/base/text.h"

namespace qkv {

const Tensor* Batch::find(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.name == name) return &entry.tensor;
  return nullptr;
}

const Tensor& Batch::at(std::string_view name) const {
  const Tensor* found = find(name);
  if (!found)
    fail(Fault::runtime, "batch: must have {}; got {}", in_quotes(name),
         empty() ? "an empty batch" : join(names(), ", "));
  return *found;
}

// The entry of that name, made where there is none.
Batch::Entry& Batch::entry(std::string_view name) {
  for (Entry& entry : entries_)
    if (entry.name == name) return entry;
  return entries_.emplace_back(Entry{std::string(name), {}});
}

void Batch::set(std::string_view name, Tensor tensor) {
  entry(name).tensor = std::move(tensor);
}

Tensor Batch::fill(std::string_view name, const Shape& shape, Dtype dtype) {
  Tensor& tensor = entry(name).tensor;
  if (!tensor.unique() || tensor.shape() != shape || tensor.dtype() != dtype)
    tensor = Tensor::empty(shape, dtype);
  return tensor;
}

std::vector<std::string> Batch::names() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_) result.push_back(entry.name);
  return result;
}

Batch Batch::symbolic() const {
  Batch result;
  for (auto& [name, tensor] : entries_) result.set(name, Tensor::symbolic(tensor.shape(), tensor.dtype()));
  return result;
}

std::string Batch::str() const {
  std::string text;
  for (const Entry& entry : entries_)
    text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", entry.name, entry.tensor.dtype(),
                        entry.tensor.shape());
  return text;
}

}  // namespace qkv
