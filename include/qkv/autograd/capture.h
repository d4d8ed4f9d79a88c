// Capture collects named tensors (attention weights, queries, keys, values) that layers offer while it lives;
// Intervention changes them.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "qkv/autograd/tape.h"

namespace qkv {

/// RAII and thread-local. Layers ask `Capture::wanting("weights")` before they offer a tensor, so that
/// unwanted tensors are not kept; values of the model never change.
///
///     Capture capture({"weights"});
///     model.forward(batch);
///     const Tensor* weights = capture.find("layers.0.attn.weights");  // [B, H, T, T]
class Capture : public ThreadScoped<Capture> {
 public:
  /// Collects the tensors of these names (without layer path); an empty list means all.
  explicit Capture(std::vector<std::string> names = {}) : names_(std::move(names)) {}
  /// The innermost live capture of this thread if it collects tensors called `name`, else null.
  static Capture* wanting(const char* name);

  /// Stores `tensor` as "<path of the layer that runs>.<name>", e.g. "layers.0.weights", in the capture that
  /// wants it, if any does; outside of the layers as "<name>".
  static void offer(const char* name, const Tensor& tensor) {
    if (Capture* c = tensor.is_symbolic() ? nullptr : wanting(name))
      c->put(LayerPath::current() ? *LayerPath::current() : "", name, tensor);
  }

  /// Stores `tensor` as "<layer path>.<name>", e.g. "layers.0.attn.weights".
  void put(const std::string& path, const std::string& name, const Tensor& tensor);
  /// The tensor of that name, or null.
  const Tensor* find(const std::string& name) const;
  const std::vector<std::pair<std::string, Tensor>>& all() const { return tensors_; }

 private:
  std::vector<std::string> names_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

/// The counterpart of a capture: changes tensors that layers are about to use, while it lives. RAII and
/// thread-local. Offered are "static" (the input vectors [B, T, d]) and "<layer>.qkv" (queries, keys and
/// values [B, T, (H + 2 H_kv) D]).
///
///     Intervention without_values([](const std::string& name, const Var& x) { return ..; });
///     model.forward(batch);
class Intervention : public ThreadScoped<Intervention> {
 public:
  using Change = std::function<Var(const std::string& name, const Var& x)>;
  explicit Intervention(Change change) : change_(std::move(change)) {}
  /// x as changed by the innermost live one; x itself if there is none.
  static Var apply(const std::string& path, const char* name, const Var& x);

 private:
  Change change_;
};

}  // namespace qkv
