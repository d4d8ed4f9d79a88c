// The graph of a model, with sizes that depend on the batch as expressions: made of traces over batches of
// several sizes (docs/graph-format.md).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "autograd/trace.h"
#include "qkv/base/json_fwd.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// The sizes of one batch by their symbols.
using Sizes = std::map<std::string, Index>;

/// A forward pass that was traced.
struct Traced {
  Graph graph;
  Sizes sizes;
};
/// The graph that all passes are cases of, without what no output needs. A size is the simplest that fits
/// all: a constant, k s + c, k (s + t) + c or k s t + c. Throws a usage error that names the layer and op
/// where the passes differ in more than sizes.
Graph graph_of(const std::string& name, std::vector<Traced> passes);

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
