// Capture: collects named tensors (attention weights, queries, keys, values) that layers offer while it
// lives.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "qkv/tensor/tensor.h"

namespace qkv {

/// RAII and thread-local. Layers ask `Capture::current()` and offer what they have; the values never change
/// by it.
class Capture {
 public:
  Capture();
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  static Capture* current();

  /// Stores `tensor` as "<layer path>.<name>", e.g. "layers.0.attn.weights".
  void put(const std::string& path, const std::string& name, const Tensor& tensor);
  /// The tensor of that name, or null.
  const Tensor* find(const std::string& name) const;
  const std::vector<std::pair<std::string, Tensor>>& all() const { return tensors_; }

 private:
  Capture* outer_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

}  // namespace qkv
