// Trace: the ops of a forward pass with their attributes, of which graphs are made for other programs.
#pragma once
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "qkv/autograd/tape.h"

namespace qkv {

/// RAII and thread-local, with a tape of its own. Every op that `record` sees becomes a node, whether it
/// wants a gradient or not; an op tells by a `Note` what else it was called with. Tensors are known by their
/// elements' address and their shape, and kept as long as the trace, so that no address comes twice.
///
///     Trace trace;
///     trace.name(Trace::Kind::input, "ids", ids);
///     const int logits = trace.value(model.forward(batch).value());
///     const Trace::Log log = trace.take();
class Trace : public ThreadScoped<Trace> {
 public:
  enum class Kind { input, parameter, constant, result };
  using Attribute = std::variant<Index, double, std::vector<Index>>;
  struct Value {
    Kind kind;
    std::string name;  ///< of an input or a parameter
    Tensor tensor;
  };
  struct Node {
    std::string op, layer;    ///< layer: path of the layer that ran the op, "" outside of layers
    std::vector<int> inputs;  ///< values in the op's order; -1: left out
    std::vector<std::pair<std::string, int>> named;  ///< further tensors: ids, masks, tables
    std::vector<std::pair<std::string, Attribute>> attributes;
    std::vector<int> outputs;
  };

  /// What has been traced.
  struct Log {
    std::vector<Value> values;
    std::vector<Node> nodes;
  };

  /// Makes a tensor known before it is used.
  void name(Kind kind, const std::string& name, const Tensor& tensor);
  /// The number of a tensor: the last value of its address and shape, else a reshape of one of its address,
  /// else a new constant. -1 for an undefined one.
  int value(const Tensor& tensor);
  /// Adds a node, with what was noted since the one before.
  void add(const char* op, const Input* inputs, int count, const Tensor& result);

  /// What was traced so far; the trace begins anew.
  Log take() { return std::exchange(log_, {}); }

 private:
  friend class Note;
  int find(const Tensor& tensor) const;
  int push(Kind kind, const std::string& name, const Tensor& tensor);

  Tape tape_;
  Log log_;
  Node noted_;
};

/// Tells the trace of this thread, if there is one, what the op that comes next is called with:
/// `Note()("axis", axis)("keep", keep);`. Undefined tensors are left out.
class Note {
 public:
  template <class T>
  const Note& operator()(const char* name, const T& value) const {
    if (!trace_) return *this;
    if constexpr (std::is_integral_v<T>)
      attribute(name, Index(value));
    else
      attribute(name, value);
    return *this;
  }
  /// A second result of the op, such as the last state of a recurrent one.
  const Note& result(const Tensor& tensor) const;
  /// Adds the node of a function whose result no gradient flows through, and which `record` never sees.
  void add(const char* op, const Tensor& result) const {
    if (trace_) trace_->add(op, nullptr, 0, result);
  }

 private:
  void attribute(const char* name, Trace::Attribute value) const;
  void attribute(const char* name, const Tensor& tensor) const;

  Trace* trace_ = Trace::current();
};

/// The elements as another type, as a node "cast" of the trace; x itself where it has this type.
Tensor cast(const Tensor& x, Dtype dtype);

}  // namespace qkv
