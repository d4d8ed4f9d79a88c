// ONNX: how a graph is lowered to its operators (opset 17, IR 8), one row per op.
#pragma once
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/at.h"
#include "base/protobuf.h"
#include "interop/graph.h"

namespace qkv::onnx {

constexpr int kOpset = 17, kIrVersion = 8;

/// TensorProto.DataType
enum Type : Index { kFloat = 1, kInt32 = 6, kInt64 = 7, kBool = 9 };

/// The name of a tensor of the ONNX graph; empty: an input that is left out.
using Name = std::string;
using Names = std::vector<Name>;

/// An attribute of an operator.
struct Attribute {
  const char* name;
  std::variant<Index, double, std::string, std::vector<Index>> value;
};
using Attributes = std::initializer_list<Attribute>;

/// Writes the operators of one graph. A row reads the node it lowers through it, adds operators, and gives
/// the name of the result.
class Lowering {
 public:
  explicit Lowering(const Graph& graph);
  /// The ModelProto. A usage error names an op without a row.
  std::string model();

  // ---- the node
  Name in(std::size_t i) const;       ///< input i, or ""
  Name named(const char* key) const;  ///< a further tensor, or ""
  const std::vector<Dim>& shape(std::size_t i) const { return shape_of(node_->inputs[i]); }  ///< of input i
  const std::vector<Dim>& named_shape(const char* key) const;
  const std::vector<Dim>& result_shape() const { return shape_of(node_->outputs[0]); }
  bool has(const char* key) const;  ///< an attribute
  double number(const char* key) const { return std::get<double>(attribute(key)); }
  Dim dim(const char* key) const { return std::get<Dim>(attribute(key)); }
  Index integer(const char* key) const;
  std::vector<Index> list(const char* key) const { return std::get<std::vector<Index>>(attribute(key)); }
  /// Gives output i of the node, beside the first.
  void also(std::size_t i, const Name& name);

  // ---- operators and constants
  Name op(const char* type, const Names& inputs, Attributes attributes = {}) {
    return op(type, inputs, attributes, 1)[0];
  }
  Names op(const char* type, const Names& inputs, Attributes attributes, std::size_t outputs);
  Name constant(double value);                  ///< a float
  Name ints(const std::vector<Index>& values);  ///< int64 [n]
  Name scalar(Index value);                     ///< int64 []
  Name size(const Dim& dim);                    ///< int64 [1], computed from the inputs' shapes
  Name sizes(const std::vector<Dim>& shape);    ///< int64 [rank]
  Name range(const Dim& length);                ///< int64 0 .. length - 1
  Name unsqueeze(const Name& x, const std::vector<Index>& axes) { return op("Unsqueeze", {x, ints(axes)}); }
  Name cast(const Name& x, Type to) { return op("Cast", {x}, {{"to", Index(to)}}); }
  /// x [from..] as `to`; what may be copied or inferred is not computed.
  Name reshape(const Name& x, const std::vector<Dim>& from, const std::vector<Dim>& to);
  /// x[.., begin : end, ..] of an axis.
  Name slice(const Name& x, Index axis, Index begin, Index end, Index step = 1);

 private:
  const Graph::Attribute& attribute(const char* key) const;
  const std::vector<Dim>& shape_of(int value) const { return at(graph_.values, value).shape; }
  Name fresh() { return fmt::format("t{}", count_++); }
  Name symbol(const std::string& symbol);
  void initializer(const Name& name, const Tensor& tensor);
  protobuf::Message value_info(const Name& name, const Graph::Value& value) const;

  const Graph& graph_;
  const Graph::Node* node_ = nullptr;
  Names names_;                        // of the graph's values
  std::map<std::string, Name> cache_;  // constants and sizes
  std::vector<protobuf::Message> nodes_, initializers_;
  std::size_t bytes_ = 0;
  int count_ = 0;
};

/// A row: the name of the first result of the node at hand.
using Row = std::function<Name(Lowering&)>;
/// By op. What only losses are made of has no row.
const std::map<std::string, Row>& rows();
/// Those of attention, rotary positions, QK-norm and recurrent cells.
Name attention(Lowering&);
Name attention_packed(Lowering&);
Name rotary(Lowering&);
Name qk_norm(Lowering&);
Name recurrent(Lowering&, const char* type, const std::vector<Index>& order);

}  // namespace qkv::onnx

namespace qkv {

/// NAME.onnx for each graph of the model. Values are f32 whatever the model's dtype.
void write_onnx(const Experiment& e, const std::string& folder);
/// The bytes of an ONNX file.
std::string encode_onnx(const Graph& graph);

}  // namespace qkv
