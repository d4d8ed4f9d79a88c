// The rows: how each op is said in operators of ONNX (opset 17).
#include <cmath>
#include <limits>

#include "interop/onnx.h"
#include "ops/pointer_generator.h"

namespace qkv::onnx {
namespace {

// An op of two operands, of which one may be the number "left" or "right".
Name of_two(Lowering& l, const char* type) {
  if (l.has("left")) return l.op(type, {l.constant(l.number("left")), l.in(0)});
  return l.op(type, {l.in(0), l.has("right") ? l.constant(l.number("right")) : l.in(1)});
}

Name gelu(Lowering& l) {
  const Name x = l.in(0);
  Name u;
  if (l.integer("tanh")) {  // sqrt(2 / pi) (x + 0.044715 x^3)
    const Name cube = l.op("Mul", {l.op("Mul", {x, x}), x});
    const Name sum = l.op("Add", {x, l.op("Mul", {cube, l.constant(0.044715)})});
    u = l.op("Tanh", {l.op("Mul", {sum, l.constant(M_2_SQRTPI * M_SQRT1_2)})});
  } else {
    u = l.op("Erf", {l.op("Mul", {x, l.constant(M_SQRT1_2)})});
  }
  return l.op("Mul", {l.op("Mul", {x, l.op("Add", {u, l.constant(1.0)})}), l.constant(0.5)});
}

Name silu(Lowering& l) {  // x s(alpha x)
  const Name x = l.in(0);
  const double alpha = l.number("alpha");
  return l.op("Mul", {x, l.op("Sigmoid", {alpha == 1 ? x : l.op("Mul", {x, l.constant(alpha)})})});
}

Name softcap(Lowering& l) {
  const Name cap = l.constant(l.number("cap"));
  return l.op("Mul", {l.op("Tanh", {l.op("Div", {l.in(0), cap})}), cap});
}

Name mix(Lowering& l) {  // columns of x: before those of y, theirs, and after them
  const Index axis = Index(l.shape(0).size()) - 1, n = l.shape(0).back().constant, begin = l.integer("begin"),
              end = begin + l.shape(1).back().constant;
  const Name own = l.op("Mul", {l.slice(l.in(0), axis, begin, end), l.slice(l.in(2), 0, 0, 1)});
  Names parts{l.op("Add", {own, l.op("Mul", {l.in(1), l.slice(l.in(2), 0, 1, 2)})})};
  if (begin > 0) parts.insert(parts.begin(), l.slice(l.in(0), axis, 0, begin));
  if (end < n) parts.push_back(l.slice(l.in(0), axis, end, n));
  return l.op("Concat", parts, {{"axis", axis}});
}

Name linear(Lowering& l) {
  const Name y =
      l.op("MatMul", {l.in(0), l.op("Transpose", {l.in(1)}, {{"perm", std::vector<Index>{1, 0}}})});
  return l.in(2).empty() ? y : l.op("Add", {y, l.in(2)});
}

Name layer_norm(Lowering& l) {
  Names inputs{l.in(0), l.in(1)};
  if (!l.in(2).empty()) inputs.push_back(l.in(2));
  return l.op("LayerNormalization", inputs, {{"axis", l.integer("axis")}, {"epsilon", l.number("eps")}});
}

Name rms_norm(Lowering& l) {
  const Name x = l.in(0);
  std::vector<Index> axes;
  for (Index i = l.integer("axis"); i < Index(l.shape(0).size()); i++) axes.push_back(i);
  const Name mean = l.op("ReduceMean", {l.op("Mul", {x, x})}, {{"axes", axes}});
  const Name root = l.op("Sqrt", {l.op("Add", {mean, l.constant(l.number("eps"))})});
  return l.op("Mul", {l.op("Div", {x, root}), l.in(1)});
}

// ---- tables and positions

Name embedding_bag(Lowering& l) {  // [W, N] shares of the rows [N, d]
  const Name offsets = l.cast(l.named("offsets"), kInt64);
  const Name begin = l.unsqueeze(l.slice(offsets, 0, 0, -1), {1});
  const Name end = l.unsqueeze(l.slice(offsets, 0, 1, std::numeric_limits<Index>::max()), {1});
  const Name place = l.range(l.named_shape("ids")[0]);
  const Name inside = l.op("And", {l.op("GreaterOrEqual", {place, begin}), l.op("Less", {place, end})});
  const Name member = l.cast(inside, kFloat);
  const Name count = l.op("ReduceSum", {member, l.ints({1})}, {{"keepdims", Index{1}}});
  const Name share = l.op("Div", {member, l.op("Max", {count, l.constant(1.0)})});
  return l.op("MatMul", {share, l.op("Gather", {l.in(0), l.named("ids")})});
}

Name masked_mean(Lowering& l) {
  const Name keep = l.cast(l.cast(l.named("keep"), kBool), kFloat);  // [B, T]
  const Name sum = l.op("MatMul", {l.unsqueeze(keep, {1}), l.in(0)});
  const Name count = l.op("ReduceSum", {keep, l.ints({1})}, {{"keepdims", Index{1}}});
  return l.op("Div", {l.op("Squeeze", {sum, l.ints({1})}), l.op("Max", {count, l.constant(1.0)})});
}

Name select_positions(Lowering& l) {
  const Name places = l.unsqueeze(l.cast(l.named("positions"), kInt64), {1});
  return l.op("GatherND", {l.in(0), places}, {{"batch_dims", Index{1}}});
}

Name one_hot(Lowering& l) {
  const Name ids = l.cast(l.unsqueeze(l.named("ids"), {-1}), kInt64);
  return l.cast(l.op("Equal", {ids, l.range(l.dim("depth"))}), kFloat);
}

Name relative_positions(Lowering& l) {  // t - target + max_length - 1, in [0, 2 max_length - 2]
  const Index last = l.integer("max_length") - 1;
  const Name target = l.unsqueeze(l.cast(l.named("target"), kInt64), {1});
  const Name place = l.op("Add", {l.op("Sub", {l.range(l.result_shape()[1]), target}), l.scalar(last)});
  return l.op("Clip", {place, l.scalar(0), l.scalar(2 * last)});
}

Name lengths(Lowering& l) {
  const Name kept = l.cast(l.op("Equal", {l.cast(l.named("keep"), kInt64), l.scalar(1)}), kInt64);
  return l.cast(l.op("ReduceSum", {kept, l.ints({1})}, {{"keepdims", Index{0}}}),
                kInt32);  // int32, as recurrent operators want them
}

Name last_positions(Lowering& l) {
  if (l.named("lengths").empty())
    return l.op("Expand", {l.op("Sub", {l.size(l.dim("steps")), l.scalar(1)}), l.size(l.result_shape()[0])});
  return l.op("Max", {l.op("Sub", {l.cast(l.named("lengths"), kInt64), l.scalar(1)}), l.scalar(0)});
}

// log p of writing or copying: of what has p = 0, or less than f32 can say, kNeverLog.
Name pointer_generator(Lowering& l) {
  const Name gate = l.in(1), width = l.size(l.dim("width"));
  Name scores = l.in(2);
  if (!l.named("keep").empty())
    scores = l.op("Where", {l.unsqueeze(l.cast(l.named("keep"), kBool), {1}), scores, l.constant(-1e9)});
  auto part = [&](const Name& x, const Name& off) {  // exp(log_softmax(x) - softplus(off))
    return l.op("Exp",
                {l.op("Sub", {l.op("LogSoftmax", {x}, {{"axis", Index{-1}}}), l.op("Softplus", {off})})});
  };
  const Name ids = l.cast(l.unsqueeze(l.named("ids"), {-1}), kInt64);
  const Name chosen = l.cast(l.op("Equal", {ids, l.range(l.dim("width"))}), kFloat);  // [B, S, W]
  const Name more = l.op("Sub", {width, l.ints({l.shape(0)[2].constant})});
  const Name pads = l.op("Concat", {l.ints({0, 0, 0, 0, 0}), more}, {{"axis", Index{0}}});
  const Name written = l.op("Pad", {part(l.in(0), l.op("Neg", {gate})), pads});
  const Name p = l.op("Add", {written, l.op("MatMul", {part(scores, gate), chosen})});
  return l.op("Where", {l.op("Greater", {p, l.constant(0.0)}), l.op("Log", {p}), l.constant(kNeverLog)});
}

// ---- shapes and reductions

Name slice(Lowering& l) {
  return l.op("Slice", {l.in(0), l.size(l.dim("begin")), l.size(l.dim("end")), l.ints({l.integer("axis")})});
}

Name concat(Lowering& l) {
  Names parts;
  for (std::size_t i = 0; !l.in(i).empty(); i++) parts.push_back(l.in(i));
  return l.op("Concat", parts, {{"axis", l.integer("axis")}});
}

Name cumsum(Lowering& l) {
  return l.op("CumSum", {l.in(0), l.scalar(l.integer("axis"))},
              {{"exclusive", l.integer("exclusive")}, {"reverse", l.integer("reverse")}});
}

Name triangle(Lowering& l, bool upper) {
  return l.op("Trilu", {l.in(0), l.op("Squeeze", {l.size(l.dim("diagonal"))})}, {{"upper", Index(upper)}});
}

// Axes are an attribute of all reductions but the sum.
Name reduced(Lowering& l, const char* type) {
  const std::vector<Index> axes = l.list("axes");
  const Index keep = l.integer("keep_dims");
  if (axes.empty()) return l.op("Identity", {l.in(0)});  // of a scalar
  if (std::string_view(type) == "ReduceSum") return l.op(type, {l.in(0), l.ints(axes)}, {{"keepdims", keep}});
  return l.op(type, {l.in(0)}, {{"axes", axes}, {"keepdims", keep}});
}

Name unary(Lowering& l, const char* type, Attributes attributes = {}) {
  return l.op(type, {l.in(0)}, attributes);
}

// Ops that have another name there, and are else the same: of one input, of two operands, reductions.
using OpNames = std::vector<std::pair<const char*, const char*>>;
const OpNames kOfOne{{"exp", "Exp"}, {"log", "Log"},         {"sqrt", "Sqrt"}, {"tanh", "Tanh"},
                     {"erf", "Erf"}, {"sigmoid", "Sigmoid"}, {"relu", "Relu"}, {"softplus", "Softplus"},
                     {"neg", "Neg"}, {"abs", "Abs"}};
const OpNames kOfTwo{{"add", "Add"}, {"sub", "Sub"},     {"mul", "Mul"},     {"div", "Div"},
                     {"pow", "Pow"}, {"maximum", "Max"}, {"minimum", "Min"}, {"matmul", "MatMul"}};
const OpNames kReductions{{"sum", "ReduceSum"},
                          {"mean", "ReduceMean"},
                          {"max", "ReduceMax"},
                          {"min", "ReduceMin"},
                          {"logsumexp", "ReduceLogSumExp"}};

// The others: an op and the value of its result, of the node at hand.
#define QKV_ROW(op, ...)          \
  {                               \
    op, [](Lowering& l) -> Name { \
      return __VA_ARGS__;         \
    }                             \
  }

}  // namespace

const std::map<std::string, Row>& rows() {
  static const std::map<std::string, Row> table = [] {
    std::map<std::string, Row> all{
        QKV_ROW("relu_squared", l.op("Pow", {l.op("Relu", {l.in(0)}), l.constant(2.0)})),
        QKV_ROW("softcap", softcap(l)),
        QKV_ROW("mix", mix(l)),
        QKV_ROW("leaky_relu", unary(l, "LeakyRelu", {{"alpha", l.number("slope")}})),
        QKV_ROW("elu", unary(l, "Elu", {{"alpha", l.number("alpha")}})),
        QKV_ROW("square", l.op("Mul", {l.in(0), l.in(0)})),
        QKV_ROW("gelu", gelu(l)),
        QKV_ROW("silu", silu(l)),
        QKV_ROW("swiglu", l.op("Mul", {silu(l), l.in(1)})),
        QKV_ROW("clip", l.op("Clip", {l.in(0), l.constant(l.number("low")), l.constant(l.number("high"))})),
        QKV_ROW("where", l.op("Where", {l.cast(l.named("condition"), kBool), l.in(0), l.in(1)})),
        QKV_ROW("softmax", unary(l, "Softmax", {{"axis", Index{-1}}})),
        QKV_ROW("log_softmax", unary(l, "LogSoftmax", {{"axis", Index{-1}}})),
        QKV_ROW("cumsum", cumsum(l)),
        QKV_ROW("linear", linear(l)),
        QKV_ROW("layer_norm", layer_norm(l)),
        QKV_ROW("rms_norm", rms_norm(l)),
        QKV_ROW("reshape", l.reshape(l.in(0), l.shape(0), l.result_shape())),
        QKV_ROW("broadcast_to", l.op("Expand", {l.in(0), l.sizes(l.result_shape())})),
        QKV_ROW("permute", unary(l, "Transpose", {{"perm", l.list("order")}})),
        QKV_ROW("tril", triangle(l, false)),
        QKV_ROW("triu", triangle(l, true)),
        QKV_ROW("slice", slice(l)),
        QKV_ROW("concat", concat(l)),
        QKV_ROW("cast", l.cast(l.named("x"), kFloat)),
        QKV_ROW("embedding", l.op("Gather", {l.in(0), l.named("ids")})),
        QKV_ROW("embedding_bag", embedding_bag(l)),
        QKV_ROW("index_select", l.op("Gather", {l.in(0), l.named("ids")}, {{"axis", l.integer("axis")}})),
        QKV_ROW("take_along",
                l.op("GatherElements", {l.in(0), l.named("ids")}, {{"axis", l.integer("axis")}})),
        QKV_ROW("masked_mean", masked_mean(l)),
        QKV_ROW("pointer_generator", pointer_generator(l)),
        QKV_ROW("select_positions", select_positions(l)),
        QKV_ROW("one_hot", one_hot(l)),
        QKV_ROW("positions", l.op("Add", {l.range(l.result_shape()[0]), l.size(l.dim("begin"))})),
        QKV_ROW("relative_positions", relative_positions(l)),
        QKV_ROW("document_positions",
                l.op("Sub", {l.range(l.result_shape()[1]), l.cast(l.named("starts"), kInt64)})),
        QKV_ROW("lengths", lengths(l)),
        QKV_ROW("last_positions", last_positions(l)),
        QKV_ROW("attention", attention(l)),
        QKV_ROW("attention_packed", attention_packed(l)),
        QKV_ROW("rotary", rotary(l)),
        QKV_ROW("qk_norm", qk_norm(l)),
        QKV_ROW("rnn", recurrent(l, "RNN", {0})),
        QKV_ROW("lstm", recurrent(l, "LSTM", {0, 3, 1, 2})),
        QKV_ROW("gru", recurrent(l, "GRU", {1, 0, 2})),
    };
    for (const auto& [op, type] : kOfOne)
      all[op] = [type = type](Lowering& l) {
        return unary(l, type);
      };
    for (const auto& [op, type] : kOfTwo)
      all[op] = [type = type](Lowering& l) {
        return of_two(l, type);
      };
    for (const auto& [op, type] : kReductions)
      all[op] = [type = type](Lowering& l) {
        return reduced(l, type);
      };
    return all;
  }();
  return table;
}

}  // namespace qkv::onnx
