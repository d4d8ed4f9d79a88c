#include "autograd/trace.h"

#include "qkv/base/text.h"

namespace qkv {

std::string Dim::str() const {
  std::string text;
  for (const Term& term : terms) {
    if (!text.empty()) text += "+";
    if (term.factor != 1) text += fmt::format("{}*", term.factor);
    text += join(term.symbols, "*");
  }
  if (terms.empty()) return fmt::format("{}", constant);
  return constant == 0 ? text : fmt::format("{}{:+}", text, constant);
}

int Trace::push(Graph::Kind kind, const std::string& name, const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  graph_.values.push_back({kind, name, tensor.dtype(), {shape.begin(), shape.end()}, tensor});
  return int(graph_.values.size()) - 1;
}

void Trace::name(Graph::Kind kind, const std::string& name, const Tensor& tensor) {
  push(kind, name, tensor);
}

void Trace::output(const std::string& name, const Tensor& tensor) {
  graph_.outputs.push_back({name, value(tensor)});
}

int Trace::value(const Tensor& tensor) {
  if (!tensor.defined()) return -1;
  int base = -1;  // the first of the same elements
  for (std::size_t i = graph_.values.size(); i-- > 0;) {
    const Tensor& known = graph_.values[i].tensor;
    if (known.bytes() != tensor.bytes() || known.dtype() != tensor.dtype() || known.size() != tensor.size())
      continue;
    if (known.shape() == tensor.shape()) return int(i);
    base = int(i);
  }
  if (base < 0) return push(Graph::Kind::constant, "", tensor);
  const int result = push(Graph::Kind::result, "", tensor);
  graph_.nodes.push_back({"reshape", "", {base}, {}, {}, {result}});
  return result;
}

void Trace::add(const char* op, const Input* inputs, int count, const Tensor& result) {
  Graph::Node node = std::exchange(noted_, {});
  node.op = op;
  if (const std::string* layer = LayerPath::current()) node.layer = *layer;
  for (int i = 0; i < count; i++) node.inputs.push_back(value(*inputs[i].value));
  node.outputs.insert(node.outputs.begin(), push(Graph::Kind::result, "", result));
  graph_.nodes.push_back(std::move(node));
}

void Note::attribute(const char* name, Graph::Attribute value) const {
  trace_->noted_.attributes.emplace_back(name, std::move(value));
}

void Note::attribute(const char* name, const Tensor& tensor) const {
  if (tensor.defined()) trace_->noted_.named.emplace_back(name, trace_->value(tensor));
}

const Note& Note::result(const Tensor& tensor) const {
  if (trace_ && tensor.defined())
    trace_->noted_.outputs.push_back(trace_->push(Graph::Kind::result, "", tensor));
  return *this;
}

Tensor cast(const Tensor& x, Dtype dtype) {
  Tensor y = x.to(dtype);
  if (x.dtype() != dtype) Note()("x", x).add("cast", y);
  return y;
}

}  // namespace qkv
