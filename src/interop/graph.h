// Graph: a model's forward pass as a list of ops, with sizes that depend on the batch as expressions; made of
// traces over batches of several sizes (docs/graph-format.md).
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "autograd/trace.h"
#include "qkv/base/json_fwd.h"
#include "qkv/train/experiment.h"

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

  std::vector<Term> terms;
  Index constant;
};

/// The sizes of one batch: symbol and value.
using Sizes = std::vector<std::pair<std::string, Index>>;
/// The simplest size that has these values in these batches: a constant, k s + c, k (s + t) + c or k s t + c.
std::optional<Dim> size_from(const std::vector<Index>& values, const std::vector<Sizes>& batches);

struct Graph {
  using Attribute = std::variant<Dim, double, std::vector<Index>>;
  struct Value {
    Trace::Kind kind;
    std::string name;
    Dtype dtype;
    std::vector<Dim> shape;
    Tensor tensor;  ///< of a parameter or constant
  };
  struct Node {
    std::string op, layer;
    std::vector<int> inputs;  ///< -1: left out
    std::vector<std::pair<std::string, int>> named;
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

/// A forward pass that was traced, and which of its values are wanted.
struct Traced {
  Trace::Log log;
  Sizes sizes;
  std::vector<Graph::Output> outputs;
};
/// The graph that all passes are cases of, without what no output needs. Throws a usage error that names the
/// layer and op where they differ in more than sizes.
Graph graph_of(const std::string& name, const std::vector<Traced>& passes);

/// A batch of what a model may read, of these sizes, with random contents and padding. Symbols: B rows, T
/// tokens, S tokens of a source, N listed ids, M predictions of K words each; P tokens came before.
Batch example_batch(const Experiment& e, const Sizes& sizes, Stream& dice);

/// The graphs of a model: "forward", from a batch to logits; of one that generates also "decode", one step of
/// a text with what is remembered of it, and where there is a source "encode".
std::vector<Graph> graphs_of(const Experiment& e);

/// graph.json and graph.safetensors.
void write_graph(const Experiment& e, const std::string& folder);
/// A graph as graph.json has it.
Json json_of(const Graph& graph);

}  // namespace qkv
