// The graph format: graph.json beside graph.safetensors (docs/graph-format.md).
#include "base/at.h"
#include "base/file.h"
#include "interop/graph.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr int kGraphVersion = 1;

Json json_of(const Dim& dim) {
  return dim.fixed() ? Json(dim.constant) : Json(dim.str());
}

Json value_json(const std::string& name, const Graph::Value& value) {
  const std::vector<Json> shape = mapped(value.shape, [](const Dim& dim) { return json_of(dim); });
  return {{"name", name}, {"dtype", name_of(value.dtype)}, {"shape", shape}};
}

}  // namespace

Json json_of(const Graph& graph) {
  auto name = [&](int value) {
    return value < 0 ? Json() : Json(at(graph.values, value).name);
  };
  Json inputs = Json::array(), tensors = Json::array(), nodes = Json::array(), outputs = Json::array();
  for (const Graph::Value& value : graph.values) {
    if (value.kind == Graph::Kind::input) inputs.push_back(value_json(value.name, value));
    if (value.tensor.defined()) tensors.push_back(value.name);
  }
  for (const Graph::Node& node : graph.nodes) {
    Json one = {
        {"op", node.op}, {"layer", node.layer}, {"inputs", Json::array()}, {"outputs", Json::array()}};
    for (int input : node.inputs) one["inputs"].push_back(name(input));
    for (const auto& [key, input] : node.named) one["named"][key] = name(input);
    for (const auto& [key, attribute] : node.attributes)
      std::visit(
          [&, key = key](const auto& v) {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, Dim>)
              one["attributes"][key] = json_of(v);
            else
              one["attributes"][key] = v;
          },
          attribute);
    for (int output : node.outputs)
      one["outputs"].push_back(value_json(at(graph.values, output).name, at(graph.values, output)));
    nodes.push_back(std::move(one));
  }
  for (const auto& [key, value] : graph.outputs) {
    Json one = value_json(key, at(graph.values, value));
    one["value"] = name(value);
    outputs.push_back(std::move(one));
  }
  return {{"inputs", inputs}, {"tensors", tensors}, {"nodes", nodes}, {"outputs", outputs}};
}

// A graph as text: one line for each node.
static std::string text_of(const Json& graph) {
  const auto lines = mapped(graph.at("nodes"), [](const Json& node) { return dump_json(node); });
  return fmt::format("{{\"inputs\": {},\n\"tensors\": {},\n\"nodes\": [\n{}],\n\"outputs\": {}}}",
                     dump_json(graph.at("inputs")), dump_json(graph.at("tensors")), join(lines, ",\n"),
                     dump_json(graph.at("outputs")));
}

void write_graph(const Experiment& e, const std::string& folder) {
  const Json about = {{"model", e.config.section("model").type(Model::kDefault)},
                      {"task", e.config.section("task").type(Task::kDefault)},
                      {"classes", e.task->classes()}};
  std::vector<std::string> graphs;
  std::vector<NamedTensor> tensors;
  for (const Graph& graph : graphs_of(e)) {
    graphs.push_back(fmt::format("\"{}\": {}", graph.name, text_of(json_of(graph))));
    for (const Graph::Value& value : graph.values)
      if (value.tensor.defined() && !tensor_named(value.name, tensors).defined())
        tensors.push_back({value.name, value.tensor});
  }
  write_file_atomic(
      folder + "/graph.json",
      fmt::format("{{\"format\": \"qkv-graph\", \"version\": {},\n\"about\": {},\n\"graphs\": {{{}}}}}\n",
                  kGraphVersion, dump_json(about), join(graphs, ",\n")));
  write_safetensors(folder + "/graph.safetensors", tensors);
}

}  // namespace qkv
