// Operators: how the operators of the cases are said in qkv.
#pragma once
#include <functional>
#include <map>
#include <set>

#include "case.h"
#include "qkv/autograd/tape.h"
#include "qkv/tensor/shape.h"

namespace qkv::conformance {

/// What an operator sees of its case: inputs by position, attributes with the defaults of the specification.
/// All numbers an operator works on come in one dtype; integers that are data come as f64, in which they are
/// exact. Every accessor throws when the case gives something else.
class Call {
 public:
  /// `compute` is the dtype of all data. Inputs with an expected gradient become variables of `tape`.
  Call(const Case& c, Dtype compute, Tape* tape);

  const Case& c() const { return case_; }
  int opset() const { return case_.opset; }
  Dtype dtype() const { return dtype_; }
  int inputs() const { return static_cast<int>(case_.inputs.size()); }
  int outputs() const { return static_cast<int>(case_.outputs.size()); }
  bool has(int i) const { return i < inputs() && case_.inputs[static_cast<std::size_t>(i)] != "-"; }
  /// Is output `i` asked for?
  bool wants(int i) const { return i < outputs() && case_.outputs[static_cast<std::size_t>(i)] != "-"; }

  const Value& value(int i) const;
  /// Input i as data.
  Var data(int i) const;
  /// Input i as i32; bool too.
  Tensor ids(int i) const;
  std::vector<Index> integers(int i) const;
  /// The only element of input i.
  double number(int i) const;

  double real(const char* name, double otherwise);
  Index integer(const char* name, Index otherwise);
  bool flag(const char* name, bool otherwise) { return integer(name, otherwise) != 0; }
  std::string text(const char* name, const std::string& otherwise);
  std::vector<Index> integer_list(const char* name);
  bool has_attribute(const char* name) const;
  /// An attribute that changes nothing for f32 and f64.
  void ignore(const char* name) { read_.insert(name); }
  /// Throws when the case has an attribute that nobody asked for.
  void check_all_read() const;

  /// The variables made so far, by input name.
  const std::map<std::string, Var>& variables() const { return variables_; }

 private:
  const Attribute* attribute(const char* name, const char* type);

  const Case& case_;
  Dtype dtype_;
  std::map<std::string, Var> variables_;
  std::set<std::string> read_;
};

using Operator = std::function<std::vector<Var>(Call&)>;

/// Registers the counterpart of an operator.
struct Counterpart {
  Counterpart(const char* name, Operator op);
};
/// The counterpart, or null.
const Operator* find_operator(const std::string& name);

/// A list of axes as given at run time.
Axes axes_of(const std::vector<Index>& list);
/// Non-negative axis of a shape of `rank` axes. Throws when out of range.
int axis_of(Index axis, int rank);

}  // namespace qkv::conformance
