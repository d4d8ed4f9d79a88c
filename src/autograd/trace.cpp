#include "autograd/trace.h"

#include <algorithm>

namespace qkv {

int Trace::find(const Tensor& tensor) const {
  for (std::size_t i = log_.values.size(); i-- > 0;) {
    const Tensor& known = log_.values[i].tensor;
    if (known.bytes() == tensor.bytes() && known.dtype() == tensor.dtype() && known.shape() == tensor.shape())
      return int(i);
  }
  return -1;
}

int Trace::push(Kind kind, const std::string& name, const Tensor& tensor) {
  log_.values.push_back({kind, name, tensor});
  return int(log_.values.size()) - 1;
}

void Trace::name(Kind kind, const std::string& name, const Tensor& tensor) {
  push(kind, name, tensor);
}

int Trace::value(const Tensor& tensor) {
  if (!tensor.defined()) return -1;
  if (const int known = find(tensor); known >= 0) return known;
  for (int i = 0; i < int(log_.values.size()); i++) {
    const Tensor& base = log_.values[std::size_t(i)].tensor;
    if (base.bytes() != tensor.bytes() || base.dtype() != tensor.dtype() || base.size() != tensor.size())
      continue;
    const int result = push(Kind::result, "", tensor);
    log_.nodes.push_back({"reshape", "", {i}, {}, {}, {result}});
    return result;
  }
  return push(Kind::constant, "", tensor);
}

void Trace::add(const char* op, const Input* inputs, int count, const Tensor& result) {
  Node node = std::exchange(noted_, {});
  node.op = op;
  if (const std::string* layer = LayerPath::current()) node.layer = *layer;
  for (int i = 0; i < count; i++) node.inputs.push_back(value(*inputs[i].value));
  node.outputs.insert(node.outputs.begin(), push(Kind::result, "", result));
  log_.nodes.push_back(std::move(node));
}

void Note::attribute(const char* name, Trace::Attribute value) const {
  trace_->noted_.attributes.emplace_back(name, std::move(value));
}

void Note::attribute(const char* name, const Tensor& tensor) const {
  if (tensor.defined()) trace_->noted_.named.emplace_back(name, trace_->value(tensor));
}

const Note& Note::result(const Tensor& tensor) const {
  if (trace_ && tensor.defined())
    trace_->noted_.outputs.push_back(trace_->push(Trace::Kind::result, "", tensor));
  return *this;
}

Tensor cast(const Tensor& x, Dtype dtype) {
  Tensor y = x.to(dtype);
  if (x.dtype() != dtype) Note()("x", x).add("cast", y);
  return y;
}

}  // namespace qkv
