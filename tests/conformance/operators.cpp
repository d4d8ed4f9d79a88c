#include "operators.h"

#include <cmath>

namespace qkv::conformance {
namespace {

std::map<std::string, Operator>& table() {
  static std::map<std::string, Operator> operators;
  return operators;
}

Tensor tensor_of(const Value& v, Dtype dtype) {
  return Tensor::from(v.shape, v.numbers).to(dtype);
}

}  // namespace

Counterpart::Counterpart(const char* name, Operator op) {
  QKV_CHECK(table().emplace(name, std::move(op)).second, "conformance: operator must be unique; got {} twice",
            name);
}

const Operator* find_operator(const std::string& name) {
  const auto found = table().find(name);
  return found == table().end() ? nullptr : &found->second;
}

Axes axes_of(const std::vector<Index>& list) {
  std::vector<int> axes(list.begin(), list.end());
  return Axes(axes.data(), static_cast<int>(axes.size()));
}

int axis_of(Index axis, int rank) {
  QKV_CHECK(axis >= -rank && axis < rank, "axis must be in [{}, {}); got {}", -rank, rank, axis);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Call::Call(const Case& c, Dtype compute, Tape* tape) : case_(c), dtype_(compute) {
  for (const Value& g : c.grad) variables_[g.name] = tape->variable(tensor_of(*c.input(g.name), dtype_));
}

const Value& Call::value(int i) const {
  QKV_CHECK(has(i), "input {} must be given; got none", i);
  return *case_.input(case_.inputs[static_cast<std::size_t>(i)]);
}

Var Call::data(int i) const {
  const Value& v = value(i);
  const auto found = variables_.find(v.name);
  return found == variables_.end() ? Var(tensor_of(v, dtype_)) : found->second;
}

Tensor Call::ids(int i) const {
  const Value& v = value(i);
  for (double n : v.numbers)
    QKV_CHECK(n == std::trunc(n) && std::abs(n) < 2147483648.0,
              "input {} must hold integers of 32 bits; got {}", v.name, n);
  return tensor_of(v, Dtype::i32);
}

std::vector<Index> Call::integers(int i) const {
  const Tensor t = ids(i);
  return {t.data<std::int32_t>(), t.data<std::int32_t>() + t.size()};
}

double Call::number(int i) const {
  const Value& v = value(i);
  QKV_CHECK(v.numbers.size() == 1, "input {} must have one element; got {}", v.name, v.shape);
  return v.numbers[0];
}

const Attribute* Call::attribute(const char* name, const char* type) {
  read_.insert(name);
  for (const Attribute& a : case_.attributes) {
    if (a.name != name) continue;
    QKV_CHECK(a.type == type, "attribute {} must be {}; got {}", name, type, a.type);
    return &a;
  }
  return nullptr;
}

double Call::real(const char* name, double otherwise) {
  const Attribute* a = attribute(name, "float");
  return a ? a->numbers[0] : otherwise;
}

Index Call::integer(const char* name, Index otherwise) {
  const Attribute* a = attribute(name, "int");
  return a ? static_cast<Index>(a->numbers[0]) : otherwise;
}

std::string Call::text(const char* name, const std::string& otherwise) {
  const Attribute* a = attribute(name, "string");
  return a ? a->strings[0] : otherwise;
}

std::vector<Index> Call::integer_list(const char* name) {
  std::vector<Index> list;
  if (const Attribute* a = attribute(name, "ints"))
    for (double n : a->numbers) list.push_back(static_cast<Index>(n));
  return list;
}

bool Call::has_attribute(const char* name) const {
  for (const Attribute& a : case_.attributes)
    if (a.name == name) return true;
  return false;
}

void Call::check_all_read() const {
  for (const Attribute& a : case_.attributes)
    QKV_CHECK(read_.count(a.name), "attribute must be known to the counterpart of {}; got {}", case_.op,
              a.name);
}

}  // namespace qkv::conformance
