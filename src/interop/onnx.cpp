#include "interop/onnx.h"

#include <algorithm>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/version.h"

namespace qkv::onnx {
using protobuf::Message;
namespace {

// AttributeProto.AttributeType
constexpr std::uint64_t kAttributeFloat = 1, kAttributeInt = 2, kAttributeString = 3, kAttributeInts = 7;

std::uint64_t type_of(Dtype dtype) {
  return dtype == Dtype::i32 ? kInt32 : kFloat;
}

Message message_of(const Attribute& a) {
  Message m;
  m.bytes(1, a.name);
  if (const auto* i = std::get_if<Index>(&a.value))
    m.integer(3, std::uint64_t(*i)).integer(20, kAttributeInt);
  else if (const auto* f = std::get_if<double>(&a.value))
    m.number(2, float(*f)).integer(20, kAttributeFloat);
  else if (const auto* s = std::get_if<std::string>(&a.value))
    m.bytes(4, *s).integer(20, kAttributeString);
  else {
    for (Index each : std::get<std::vector<Index>>(a.value)) m.integer(8, std::uint64_t(each));
    m.integer(20, kAttributeInts);
  }
  return m;
}

}  // namespace

// ---- the graph

Lowering::Lowering(const Graph& graph) : graph_(graph) {
  for (const Graph::Value& value : graph.values) {
    names_.push_back(value.tensor.defined() || value.kind == Graph::Kind::input ? value.name : "");
    if (value.tensor.defined()) initializer(value.name, value.tensor);
  }
}

Message Lowering::value_info(const Name& name, const Graph::Value& value) const {
  Message shape;
  for (const Dim& dim : value.shape)
    shape.message(
        1, dim.fixed() ? Message().integer(1, std::uint64_t(dim.constant)) : Message().bytes(2, dim.str()));
  const Message tensor = Message().integer(1, type_of(value.dtype)).message(2, shape);
  return Message().bytes(1, name).message(2, Message().message(1, tensor));
}

std::string Lowering::model() {
  for (const Graph::Node& node : graph_.nodes) {
    node_ = &node;
    const auto row = rows().find(node.op);
    if (row == rows().end())
      fail(Fault::usage, "onnx: every op must have a row; got '{}'{}, which has none", node.op,
           node.layer.empty() ? "" : " of " + node.layer);
    at(names_, node.outputs[0]) = row->second(*this);
  }
  Message graph;
  std::vector<Message> outputs;
  for (const Graph::Output& output : graph_.outputs) {
    nodes_.push_back(Message().bytes(1, at(names_, output.value)).bytes(2, output.name).bytes(4, "Identity"));
    outputs.push_back(value_info(output.name, at(graph_.values, output.value)));
  }
  for (const Message& node : nodes_) graph.message(1, node);
  graph.bytes(2, graph_.name);
  for (const Message& one : initializers_) graph.message(5, one);
  for (const Graph::Value& value : graph_.values)
    if (value.kind == Graph::Kind::input) graph.message(11, value_info(value.name, value));
  for (const Message& output : outputs) graph.message(12, output);
  return Message()
      .integer(1, kIrVersion)
      .bytes(2, "qkv")
      .bytes(3, QKV_VERSION)
      .message(7, graph)
      .message(8, Message().bytes(1, "").integer(2, kOpset))
      .str();
}

// ---- the node at hand

Name Lowering::in(std::size_t i) const {
  return i < node_->inputs.size() && node_->inputs[i] >= 0 ? at(names_, node_->inputs[i]) : "";
}

// The member of a node that is called `key`, or null.
template <class T>
static const T* find(const std::vector<std::pair<std::string, T>>& members, std::string_view key) {
  for (const auto& [name, value] : members)
    if (name == key) return &value;
  return nullptr;
}

Name Lowering::named(const char* key) const {
  const int* value = find(node_->named, key);
  return value ? at(names_, *value) : "";
}

const std::vector<Dim>& Lowering::named_shape(const char* key) const {
  return shape_of(*find(node_->named, key));
}

const Graph::Attribute& Lowering::attribute(const char* key) const {
  if (const Graph::Attribute* found = find(node_->attributes, key)) return *found;
  fail(Fault::runtime, "onnx: op '{}' must have the attribute '{}'", node_->op, key);
}
bool Lowering::has(const char* key) const {
  return find(node_->attributes, key) != nullptr;
}
Index Lowering::integer(const char* key) const {
  const Dim value = dim(key);
  if (!value.fixed())
    fail(Fault::usage, "onnx: '{}' of op '{}' must not depend on the batch; got {}", key, node_->op,
         value.str());
  return value.constant;
}
void Lowering::also(std::size_t i, const Name& name) {
  if (i < node_->outputs.size()) at(names_, node_->outputs[i]) = name;
}

// ---- operators and constants

Names Lowering::op(const char* type, const Names& inputs, Attributes attributes, std::size_t outputs) {
  Message node;
  for (const Name& input : inputs) node.bytes(1, input);
  Names results;
  for (std::size_t i = 0; i < outputs; i++) {
    results.push_back(fresh());
    node.bytes(2, results.back());
  }
  node.bytes(3, fmt::format("{}/{}.{}", node_ ? node_->layer : "", node_ ? node_->op : "", nodes_.size()));
  node.bytes(4, type);
  for (const Attribute& attribute : attributes) node.message(5, message_of(attribute));
  nodes_.push_back(std::move(node));
  return results;
}

// TensorProto
static Message tensor(const Name& name, const std::vector<Index>& dims, std::uint64_t type,
                      std::string_view bytes) {
  Message m;
  for (Index dim : dims) m.integer(1, std::uint64_t(dim));
  return m.integer(2, type).bytes(8, name).bytes(9, bytes);
}

void Lowering::initializer(const Name& name, const Tensor& given) {
  const Tensor t = given.dtype() == Dtype::f64 ? given.to(Dtype::f32) : given;
  const std::string_view bytes(reinterpret_cast<const char*>(t.bytes()), t.byte_size());
  bytes_ += bytes.size();
  if (bytes_ > std::size_t{2000} << 20)  // of a protocol buffer
    fail(Fault::usage, "onnx: the parameters must be below 2000 MiB in f32; got more");
  initializers_.push_back(tensor(name, {t.shape().begin(), t.shape().end()}, type_of(t.dtype()), bytes));
}

Name Lowering::constant(double value) {
  Name& name = cache_[fmt::format("float {}", value)];
  if (name.empty()) initializer(name = fresh(), Tensor::scalar(value));
  return name;
}

static Message int64s(const Name& name, const std::vector<Index>& dims, const std::vector<Index>& values) {
  return tensor(name, dims, kInt64,
                {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Index)});
}

Name Lowering::ints(const std::vector<Index>& values) {
  Name& name = cache_["ints " + dump_json(Json(values))];
  if (name.empty()) initializers_.push_back(int64s(name = fresh(), {Index(values.size())}, values));
  return name;
}

Name Lowering::scalar(Index value) {
  Name& name = cache_[fmt::format("int {}", value)];
  if (name.empty()) initializers_.push_back(int64s(name = fresh(), {}, {value}));
  return name;
}

// The size of an axis of an input, as [1].
Name Lowering::symbol(const std::string& symbol) {
  if (const auto known = cache_.find(symbol); known != cache_.end()) return known->second;
  for (const Graph::Value& value : graph_.values)
    for (std::size_t axis = 0; value.kind == Graph::Kind::input && axis < value.shape.size(); axis++)
      if (value.shape[axis].str() == symbol)
        return cache_[symbol] = op("Gather", {op("Shape", {value.name}), ints({Index(axis)})});
  fail(Fault::usage, "onnx: size {} must be that of an input; there is none", symbol);
}

Name Lowering::size(const Dim& dim) {
  if (dim.fixed()) return ints({dim.constant});
  Name sum;
  for (const Dim::Term& term : dim.terms) {
    Name product = term.factor == 1 ? "" : ints({term.factor});
    for (const std::string& each : term.symbols)
      product = product.empty() ? symbol(each) : op("Mul", {product, symbol(each)});
    sum = sum.empty() ? product : op("Add", {sum, product});
  }
  return dim.constant == 0 ? sum : op("Add", {sum, ints({dim.constant})});
}

Name Lowering::sizes(const std::vector<Dim>& shape) {
  std::vector<Index> fixed;
  for (const Dim& dim : shape)
    if (dim.fixed()) fixed.push_back(dim.constant);
  if (fixed.size() == shape.size()) return ints(fixed);
  Names parts;
  for (const Dim& dim : shape) parts.push_back(size(dim));
  return op("Concat", parts, {{"axis", Index{0}}});
}

Name Lowering::range(const Dim& length) {
  const std::string key = "range " + length.str();
  if (const auto known = cache_.find(key); known != cache_.end()) return known->second;
  const Name end = length.fixed() ? scalar(length.constant) : op("Squeeze", {size(length)});
  return cache_[key] = op("Range", {scalar(0), end, scalar(1)});
}

Name Lowering::reshape(const Name& x, const std::vector<Dim>& from, const std::vector<Dim>& to) {
  std::vector<Index> plan;  // 0: as in x, -1: what is left
  for (std::size_t i = 0; i < to.size(); i++)
    plan.push_back(to[i].fixed() ? to[i].constant : i < from.size() && from[i] == to[i] ? 0 : -1);
  if (std::count(plan.begin(), plan.end(), -1) > 1) return op("Reshape", {x, sizes(to)});
  return op("Reshape", {x, ints(plan)});
}

Name Lowering::slice(const Name& x, Index axis, Index begin, Index end, Index step) {
  return op("Slice", {x, ints({begin}), ints({end}), ints({axis}), ints({step})});
}

}  // namespace qkv::onnx

namespace qkv {

std::string encode_onnx(const Graph& graph) {
  return onnx::Lowering(graph).model();
}

void write_onnx(const Experiment& e, const std::string& folder) {
  for (const Graph& graph : graphs_of(e))
    write_file_atomic(fmt::format("{}/{}.onnx", folder, graph.name == "forward" ? "model" : graph.name),
                      encode_onnx(graph));
}

}  // namespace qkv
