// Operator cases: the text format of published operator tests, with attributes, inputs and expected outputs.
//
//   case <name>
//   op <operator> <domain> <opset version>
//   inputs <formal input names, "-" for an omitted one>
//   outputs <formal output names, "-" for an omitted one>
//   attr <name> float|int|string|floats|ints|strings <value...>      (0 or more)
//   in <name> f32|f64|i32|i64|bool <rank> <extent...>                 (1 per present input)
//   <values in row-major order on one line; an empty line for no elements>
//   out <name> <type> <rank> <extent...>                              (1 per present output)
//   <values>
//   gout, grad: as out; the upstream gradient of an output, the expected gradient of an input (0 or more)
//   end
//
// Lines between cases that are empty or begin with '#' are skipped.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "qkv/tensor/shape.h"

namespace qkv::conformance {

struct Value {
  std::string name, type;
  Shape shape;
  std::vector<double> numbers;

  bool is_float() const { return type[0] == 'f'; }
};

struct Attribute {
  std::string name, type;
  std::vector<double> numbers;       // of float, int, floats, ints
  std::vector<std::string> strings;  // of string, strings
};

struct Case {
  std::string name, op, domain;
  int opset = 0;
  int line = 0;                              // where it begins
  std::vector<std::string> inputs, outputs;  // formal names, "-" where omitted
  std::vector<Attribute> attributes;
  std::vector<Value> in, out, gout, grad;

  const Value* input(std::string_view formal) const { return find(in, formal); }
  const Value* output(std::string_view formal) const { return find(out, formal); }
  static const Value* find(const std::vector<Value>& values, std::string_view name);
};

/// The cases of a text. Throws `path:line: rule; got ..` (Fault::data) for whatever breaks the format.
std::vector<Case> parse_cases(std::string_view text, const std::string& path);
std::vector<Case> read_cases(const std::string& path);

}  // namespace qkv::conformance
