// Graph: the ops of a forward pass with their attributes, for other programs. Trace: records them.
#pragma once
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "qkv/autograd/tape.h"

namespace qkv {

/// A size: a sum of products of an integer and symbols, such as 2*B*T + 1.
struct Dim {
  struct Term {
    Index factor;
    std::vector<std::string> symbols;
  };
  Dim(Index constant = 0) : constant(constant) {}  // NOLINT: a number is a size
  bool fixed() const { return terms.empty(); }
  /// "B*T+1"
  std::string str() const;
  bool operator==(const Dim& other) const { return str() == other.str(); }
  bool operator!=(const Dim& other) const { return !(*this == other); }

  std::vector<Term> terms;
  Index constant;
};

/// A list of ops. One that was traced has the sizes of its batch; `graph_of` (interop/graph.h) makes the one
/// with symbols of several.
struct Graph {
  enum class Kind { input, parameter, constant, result };
  using Attribute = std::variant<Dim, double, std::vector<Index>>;
  struct Value {
    Kind kind;
    std::string name;
    Dtype dtype;
    std::vector<Dim> shape;
    Tensor tensor;  ///< in a trace that of every value, else of parameters and constants
  };
  struct Node {
    std::string op, layer;    ///< layer: path of the layer that ran the op, "" outside of layers
    std::vector<int> inputs;  ///< values in the op's order; -1: left out
    std::vector<std::pair<std::string, int>> named;  ///< further tensors: ids, masks, tables
    std::vector<std::pair<std::string, Attribute>> attributes;
    std::vector<int> outputs;
  };
  struct Output {
    std::string name;
    int value;
  };

  std::string name;  ///< "forward", "encode" or "decode"
  std::vector<Value> values;
  std::vector<Node> nodes;  ///< each after those whose results it reads
  std::vector<Output> outputs;
};

/// RAII and thread-local, with a tape of its own. Every op that `record` sees becomes a node, whether it
/// wants a gradient or not; an op tells by a `Note` what else it was called with. Tensors are known by their
/// elements' address and their shape, and kept as long as the trace, so that no address comes twice.
///
///     Trace trace;
///     trace.name(Graph::Kind::input, "ids", ids);
///     trace.output("logits", model.forward(batch).value());
///     const Graph graph = trace.take();
class Trace : public ThreadScoped<Trace> {
 public:
  /// Makes a tensor known before it is used.
  void name(Graph::Kind kind, const std::string& name, const Tensor& tensor);
  /// The number of a tensor: the last value of its address and shape, else a reshape of one of its address,
  /// else a new constant. -1 for an undefined one.
  int value(const Tensor& tensor);
  void output(const std::string& name, const Tensor& tensor);
  /// Adds a node, with what was noted since the one before.
  void add(const char* op, const Input* inputs, int count, const Tensor& result);

  /// What was traced so far; the trace begins anew.
  Graph take() { return std::exchange(graph_, {}); }

 private:
  friend class Note;
  int push(Graph::Kind kind, const std::string& name, const Tensor& tensor);

  Tape tape_;
  Graph graph_;
  Graph::Node noted_;
};

/// Tells the trace of this thread, if there is one, what the op that comes next is called with:
/// `Note()("axis", axis)("keep", keep);`. Undefined tensors are left out.
class Note {
 public:
  template <class T>
  const Note& operator()(const char* name, const T& value) const {
    if (!trace_) return *this;
    if constexpr (std::is_integral_v<T>)
      attribute(name, Dim(Index(value)));
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
  void attribute(const char* name, Graph::Attribute value) const;
  void attribute(const char* name, const Tensor& tensor) const;

  Trace* trace_ = Trace::current();
};

/// The elements as another type, as a node "cast" of the trace; x itself where it has this type.
Tensor cast(const Tensor& x, Dtype dtype);

}  // namespace qkv
