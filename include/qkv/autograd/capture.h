// activation: what every named tensor inside a model passes through. Capture reads what passes, Intervention
// changes it.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "qkv/autograd/tape.h"
#include "qkv/base/error.h"

namespace qkv {

/// Counts the captures and interventions of this thread, so that a model that nobody looks into only asks
/// for one number.
class Listener {
 public:
  static bool any() { return count() > 0; }

 protected:
  Listener() { count()++; }
  ~Listener() { count()--; }

 private:
  static int& count() {
    static thread_local int n = 0;
    return n;
  }
};

/// RAII and thread-local: collects tensors by name while it lives. Values of the model never change, and
/// tensors that it does not want are not kept. docs/extending.md lists the names.
///
///     Capture capture({"weights"});
///     model.forward(batch);
///     const Tensor* weights = capture.find("layers.0.attn.weights");  // [B, H, T, T]
class Capture : public ThreadScoped<Capture>, Listener {
 public:
  /// Collects the tensors of these names (without layer path); an empty list means all.
  explicit Capture(std::vector<std::string> names = {}) : names_(std::move(names)) {}
  /// The innermost live capture of this thread if it collects tensors called `name`, else null.
  static Capture* wanting(const char* name);

  /// Stores `tensor` as "<path of the layer that runs>.<name>", e.g. "layers.0.weights", in the capture that
  /// wants it, if any does; outside of the layers as "<name>". For tensors that nothing else is computed
  /// from: an `Intervention` does not see them.
  static void offer(const char* name, const Tensor& tensor) {
    if (Capture* c = tensor.is_symbolic() ? nullptr : wanting(name))
      c->put(LayerPath::current() ? *LayerPath::current() : "", name, tensor);
  }

  /// Stores `tensor` as "<layer path>.<name>", e.g. "layers.0.attn.weights".
  void put(const std::string& path, const std::string& name, const Tensor& tensor);
  /// The first tensor of that name, or null.
  const Tensor* find(const std::string& name) const;
  const std::vector<std::pair<std::string, Tensor>>& all() const { return tensors_; }

 private:
  std::vector<std::string> names_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

/// The counterpart of a capture: changes tensors that layers are about to use, while it lives. RAII and
/// thread-local. All live ones act, the outermost first; captures see what they made. The result must keep
/// shape and dtype. qkv/ops/replace.h has changes to choose from.
///
///     Intervention without_heads({"heads"}, [](const std::string& name, const Var& x) { return ..; });
///     model.forward(batch);
class Intervention : public ThreadScoped<Intervention>, Listener {
 public:
  using Change = std::function<Var(const std::string& name, const Var& x)>;
  /// Gets every tensor that passes but "weights", by its full name.
  explicit Intervention(Change change) : change_(std::move(change)) {}
  /// Gets only the tensors of these names (without layer path). "weights" makes attention compute from
  /// separate ops instead of its fused kernel: the same up to rounding, with memory for all weights.
  Intervention(std::vector<std::string> names, Change change)
      : names_(std::move(names)), change_(std::move(change)) {}
  /// Whether a live one of this thread changes tensors called `name`.
  static bool wanting(const char* name);
  /// x as changed by all live ones of this thread that want it.
  static Var apply(const std::string& path, const char* name, const Var& x);

 private:
  bool wants(const char* name) const;
  Var act(const std::string& path, const char* name, const Var& x) const;
  std::vector<std::string> names_;
  Change change_;
};

/// Implementation of `activation`.
Var heard(const char* name, const Var& x);

/// x under the name "<path of the layer that runs>.<name>": what the interventions of this thread make of it,
/// which captures then keep. x itself where nobody listens.
inline Var activation(const char* name, Var x) {
  if (Listener::any()) return heard(name, x);
  return x;
}

}  // namespace qkv
