#include "interop/graph.h"

#include <algorithm>
#include <optional>

#include "base/at.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// ---- sizes

// What a size may be a multiple of: a symbol, the sum of two, or a product.
std::vector<Dim> candidates(const Sizes& symbols) {
  std::vector<Dim> single, pairs;
  auto add = [](std::vector<Dim>& list, std::vector<Dim::Term> terms) {
    list.emplace_back().terms = std::move(terms);
  };
  for (auto s = symbols.begin(); s != symbols.end(); ++s) {
    add(single, {{1, {s->first}}});
    for (auto t = std::next(s); t != symbols.end(); ++t) {
      add(pairs, {{1, {s->first}}, {1, {t->first}}});
      add(pairs, {{1, {s->first, t->first}}});
    }
  }
  single.insert(single.end(), pairs.begin(), pairs.end());
  return single;
}

Index value_of(const Dim& dim, const Sizes& sizes) {
  Index sum = dim.constant;
  for (const Dim::Term& term : dim.terms) {
    Index product = term.factor;
    for (const std::string& symbol : term.symbols) product *= sizes.at(symbol);
    sum += product;
  }
  return sum;
}

// The simplest size that has values[i] in the batch of pass i.
std::optional<Dim> size_from(const std::vector<Index>& values, const std::vector<Traced>& passes) {
  if (std::count(values.begin(), values.end(), values[0]) == std::ptrdiff_t(values.size()))
    return Dim(values[0]);
  for (const bool plain : {true, false})  // k m, then k m + c
    for (Dim& dim : candidates(passes[0].sizes)) {
      const Index m0 = value_of(dim, passes[0].sizes), m1 = value_of(dim, passes[1].sizes);
      if (m0 == m1 || (values[0] - values[1]) % (m0 - m1) != 0) continue;
      const Index k = (values[0] - values[1]) / (m0 - m1);
      for (Dim::Term& term : dim.terms) term.factor = k;
      dim.constant = values[0] - k * m0;
      bool fits = k > 0 && (!plain || dim.constant == 0);
      for (std::size_t i = 0; i < values.size(); i++)
        fits = fits && values[i] == value_of(dim, passes[i].sizes);
      if (fits) return dim;
    }
  return std::nullopt;
}

// ---- passes

constexpr const char* kFixed =
    "ops must not depend on the size or content of a batch; got others for another";

[[noreturn]] void differs(const std::string& where, const std::string& rule) {
  fail(Fault::usage, "graph: {}: {} (only models of fixed ops are graphs)", where, rule);
}

std::string place(const Graph::Node& node) {
  return fmt::format("op '{}'{}", node.op, node.layer.empty() ? "" : " of " + node.layer);
}

std::vector<int> read_by(const Graph::Node& node) {
  std::vector<int> values;
  for (int input : node.inputs)
    if (input >= 0) values.push_back(input);
  for (const auto& [name, input] : node.named) values.push_back(input);
  return values;
}

// The first op that reads a value, or the name of an input or parameter.
std::string place_of_value(const Graph& graph, int value) {
  if (const std::string& name = at(graph.values, value).name; !name.empty()) return name;
  for (const Graph::Node& node : graph.nodes) {
    const std::vector<int> read = read_by(node);
    if (std::count(read.begin(), read.end(), value) > 0) return place(node);
  }
  return "outputs";
}

// Removes the nodes that no output needs, and turns the values that none needs into results of nothing.
void prune(Graph& graph) {
  std::vector<bool> needed(graph.values.size());
  auto need = [&](int value) {
    needed.at(std::size_t(value)) = true;
  };
  for (const Graph::Output& output : graph.outputs) need(output.value);
  std::vector<Graph::Node> nodes;
  for (; !graph.nodes.empty(); graph.nodes.pop_back()) {
    Graph::Node& node = graph.nodes.back();
    if (std::none_of(node.outputs.begin(), node.outputs.end(),
                     [&](int i) { return needed.at(std::size_t(i)); }))
      continue;
    for (int value : read_by(node)) need(value);
    nodes.push_back(std::move(node));
  }
  graph.nodes.assign(std::make_move_iterator(nodes.rbegin()), std::make_move_iterator(nodes.rend()));
  for (std::size_t i = 0; i < needed.size(); i++) {
    Graph::Value& value = graph.values[i];
    if (!needed[i]) value.kind = Graph::Kind::result;
    if (value.kind == Graph::Kind::input || value.kind == Graph::Kind::result) value.tensor = {};
  }
}

// Throws unless two passes differ in sizes alone.
void check_same(const Graph& a, const Graph& b) {
  if (a.nodes.size() != b.nodes.size() || a.values.size() != b.values.size()) differs("forward pass", kFixed);
  for (std::size_t i = 0; i < a.nodes.size(); i++) {
    const Graph::Node &x = a.nodes[i], &y = b.nodes[i];
    if (x.op != y.op || x.inputs != y.inputs || x.named != y.named || x.outputs != y.outputs ||
        x.attributes.size() != y.attributes.size())
      differs(place(x), kFixed);
    for (std::size_t k = 0; k < x.attributes.size(); k++) {
      const auto& [name, value] = x.attributes[k];
      if (!std::holds_alternative<Dim>(value) && value != y.attributes[k].second)
        differs(place(x) + ", " + name, "must not depend on the batch; got another value for another");
    }
  }
  for (std::size_t i = 0; i < a.values.size(); i++) {
    const Graph::Value &x = a.values[i], &y = b.values[i];
    if (x.kind != y.kind || x.name != y.name || x.shape.size() != y.shape.size())
      differs(place_of_value(a, int(i)), kFixed);
    if (x.tensor.defined() && !x.tensor.same_bits(y.tensor))
      differs(place_of_value(a, int(i)),
              "must read what ops, parameters and the batch give; got a tensor that changes with the batch");
  }
}

// Every size of a graph, and where it stands.
std::vector<std::pair<std::string, Dim*>> sizes_of(Graph& graph) {
  std::vector<std::pair<std::string, Dim*>> sizes;
  auto add = [&](const std::string& where, Graph::Value& value) {
    for (Dim& dim : value.shape) sizes.emplace_back(where, &dim);
  };
  for (Graph::Value& value : graph.values)
    if (value.kind != Graph::Kind::result) add(value.name, value);
  for (Graph::Node& node : graph.nodes) {
    for (auto& [name, value] : node.attributes)
      if (Dim* dim = std::get_if<Dim>(&value)) sizes.emplace_back(place(node) + ", " + name, dim);
    for (int output : node.outputs) add(place(node), at(graph.values, output));
  }
  return sizes;
}

}  // namespace

Graph graph_of(const std::string& name, std::vector<Traced> passes) {
  for (Traced& pass : passes) prune(pass.graph);
  Graph graph = passes[0].graph;
  for (const Traced& pass : passes) check_same(graph, pass.graph);
  std::vector<std::vector<std::pair<std::string, Dim*>>> given;
  for (Traced& pass : passes) given.push_back(sizes_of(pass.graph));
  const auto sizes = sizes_of(graph);
  for (std::size_t k = 0; k < sizes.size(); k++) {
    std::vector<Index> values;
    std::vector<std::string> got;
    for (std::size_t i = 0; i < passes.size(); i++) {
      values.push_back(given[i][k].second->constant);
      const auto of_batch = mapped(
          passes[i].sizes, [](const auto& size) { return fmt::format("{} = {}", size.first, size.second); });
      got.push_back(fmt::format("{} for {}", values[i], join(of_batch, " ")));
    }
    const std::optional<Dim> dim = size_from(values, passes);
    if (!dim) differs(sizes[k].first, "must follow from the sizes of the batch; got " + join(got, ", "));
    *sizes[k].second = *dim;
  }
  graph.name = name;
  for (std::size_t i = 0; i < graph.values.size(); i++) {
    Graph::Value& value = graph.values[i];
    if (value.name.empty())  // constants of all graphs lie in one file
      value.name =
          value.kind == Graph::Kind::constant ? fmt::format("{}.constant{}", name, i) : fmt::format("v{}", i);
  }
  return graph;
}

}  // namespace qkv
