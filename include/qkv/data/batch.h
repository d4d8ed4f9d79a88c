// Batch: what data gives and models read; a few named tensors in a fixed order.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "qkv/tensor/tensor.h"

namespace qkv {

/// Ordered map of name -> Tensor. Filling it again with the same names and shapes does not allocate.
///
///     Tensor ids = batch.fill("ids", {size, length}, Dtype::i32), mask = batch.fill("mask", {size, length});
///     const Tensor& also_ids = batch.at("ids");  // until a further name is added
class Batch {
 public:
  struct Entry {
    std::string name;
    Tensor tensor;
  };

  /// Adds the tensor or replaces the one of that name, which keeps its place.
  void set(std::string_view name, Tensor tensor);
  /// The tensor of that name to be written, with elements of unknown value: the present one when shape and
  /// dtype agree and no other handle shares it, else a new one. Gives a handle, good for as long as it is
  /// held.
  Tensor fill(std::string_view name, const Shape& shape, Dtype dtype = Dtype::f32);
  /// The tensor, or an error that lists the names there are.
  const Tensor& at(std::string_view name) const;
  /// The tensor, or nullptr.
  const Tensor* find(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  void clear() { entries_.clear(); }
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  std::vector<std::string> names() const;
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  /// The same with shape-only tensors.
  Batch symbolic() const;
  /// "ids i32 [8, 12], target i32 [8]"
  std::string str() const;

 private:
  Entry& entry(std::string_view name);

  std::vector<Entry> entries_;
};

}  // namespace qkv
