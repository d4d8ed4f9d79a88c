// The rows of attention, rotary positions and recurrent cells.
#include <algorithm>

#include "interop/onnx.h"

namespace qkv::onnx {
namespace {

// Finite: a row of -infinity would become NaN.
constexpr double kMasked = -1e9;

// [B, n, heads D] -> [B, n, heads, D] in this order of axes; `repeat` times each head.
Name heads(Lowering& l, const Name& x, Index n_head, Index D, Index repeat, const std::vector<Index>& order) {
  Name y = l.op("Reshape", {x, l.ints({0, 0, n_head, D})});
  if (repeat > 1) {
    const Name wide = l.op("Expand", {l.unsqueeze(y, {3}), l.ints({1, 1, 1, repeat, 1})});
    y = l.op("Reshape", {wide, l.ints({0, 0, n_head * repeat, D})});
  }
  return l.op("Transpose", {y}, {{"perm", order}});
}

// A mask or bias [T, S], [B, T, S] or [B, H, T, S], so that it broadcasts with the last.
Name per_head(Lowering& l, const char* key) {
  return l.named_shape(key).size() == 3 ? l.unsqueeze(l.named(key), {1}) : l.named(key);
}

// What the table of distances, input i of shape [H, R] or [B, T, H, R], adds to scores [B, H, T, S].
Name by_distance(Lowering& l, std::size_t i, const Name& scores, const Name& row, const Name& column) {
  const Index R = l.shape(i).back().constant;
  const Name place = l.op("Add", {l.op("Sub", {column, row}), l.scalar(R / 2)});
  const Name at = l.op("Clip", {place, l.scalar(0), l.scalar(R - 1)});  // [T, S]
  if (l.shape(i).size() == 2) return l.op("Gather", {l.in(i), at}, {{"axis", Index{1}}});
  const Name table = l.op("Transpose", {l.in(i)}, {{"perm", std::vector<Index>{0, 2, 1, 3}}});
  return l.op("GatherElements", {table, l.op("Expand", {at, l.op("Shape", {scores})})}, {{"axis", Index{3}}});
}

// softmax(scale Q K^T + ..) V: q [B, T, H D], k [B, S, H_kv D], v [B, S, H_kv D_v] -> [B, T, H D_v].
// `relative`: the input that is the table of distances, if there is one.
Name attend(Lowering& l, const Name& q, const Name& k, const Name& v, Index D, Index D_v, const Dim& T,
            const Dim& S, std::size_t relative) {
  const Index H = l.integer("n_head"), H_kv = l.integer("n_kv_head"), group = H / H_kv;
  const Name product =
      l.op("MatMul", {heads(l, q, H, D, 1, {0, 2, 1, 3}), heads(l, k, H_kv, D, group, {0, 2, 3, 1})});
  Name scores = l.op("Mul", {product, l.constant(l.number("scale"))});  // [B, H, T, S]
  if (const double cap = l.number("softcap"); cap > 0)
    scores = l.op("Mul", {l.op("Tanh", {l.op("Div", {scores, l.constant(cap)})}), l.constant(cap)});
  const bool causal = l.integer("causal") != 0, by_place = !l.in(relative).empty(),
             starts = !l.named("starts").empty();
  const Index window = l.integer("window");
  Name row, column;  // places of queries [T, 1] and keys [S] among the keys
  if (causal || by_place || starts || window > 0) {
    Name place = l.range(T);
    if (!(S == T)) place = l.op("Add", {place, l.op("Sub", {l.size(S), l.size(T)})});
    row = l.unsqueeze(place, {1}), column = l.range(S);
  }
  if (!l.named("bias").empty()) scores = l.op("Add", {scores, per_head(l, "bias")});
  if (by_place) scores = l.op("Add", {scores, by_distance(l, relative, scores, row, column)});
  Name mask;
  auto see = [&](const Name& part) {
    mask = mask.empty() ? part : l.op("And", {mask, part});
  };
  if (!l.named("keep").empty()) see(l.cast(per_head(l, "keep"), kBool));
  if (!l.named("key_keep").empty()) see(l.unsqueeze(l.cast(l.named("key_keep"), kBool), {1, 2}));
  if (starts) see(l.op("GreaterOrEqual", {column, l.unsqueeze(l.cast(l.named("starts"), kInt64), {1, 3})}));
  const bool none = !mask.empty();  // there may be queries that see nothing
  if (causal) see(l.op("GreaterOrEqual", {row, column}));
  if (window > 0) see(l.op("Less", {l.op("Abs", {l.op("Sub", {row, column})}), l.scalar(window)}));
  if (!mask.empty()) scores = l.op("Where", {mask, scores, l.constant(kMasked)});
  Name weights = l.op("Softmax", {scores}, {{"axis", Index{-1}}});
  if (none) weights = l.op("Where", {mask, weights, l.constant(0.0)});
  const Name y = l.op("MatMul", {weights, heads(l, v, H_kv, D_v, group, {0, 2, 1, 3})});
  return l.op("Reshape",
              {l.op("Transpose", {y}, {{"perm", std::vector<Index>{0, 2, 1, 3}}}), l.ints({0, 0, H * D_v})});
}

// Rows [gates H, ..] of a parameter in the order of ONNX, with an axis for the direction in front.
Name gates(Lowering& l, const Name& w, const std::vector<Index>& order, Index H) {
  Names parts;
  for (Index gate : order) parts.push_back(l.slice(w, 0, gate * H, (gate + 1) * H));
  return l.unsqueeze(parts.size() == 1 ? w : l.op("Concat", parts, {{"axis", Index{0}}}), {0});
}

}  // namespace

Name attention(Lowering& l) {
  const Index H = l.integer("n_head"), H_kv = l.integer("n_kv_head");
  return attend(l, l.in(0), l.in(1), l.in(2), l.shape(0)[2].constant / H, l.shape(2)[2].constant / H_kv,
                l.shape(0)[1], l.shape(1)[1], 3);
}

Name attention_packed(Lowering& l) {
  const Index H = l.integer("n_head"), H_kv = l.integer("n_kv_head"), W = l.shape(0)[2].constant;
  const Index D = W / (H + 2 * H_kv);
  auto part = [&](Index begin, Index n) {
    return l.slice(l.in(0), 2, begin * D, (begin + n) * D);
  };
  return attend(l, part(0, H), part(H, H_kv), part(H + H_kv, H_kv), D, D, l.shape(0)[1], l.shape(0)[1], 1);
}

// (c x1 - s x2, s x1 + c x2) of each pair of the first `dim` columns of each head.
Name rotary(Lowering& l) {
  const Index H = l.integer("n_head"), D = l.integer("d_head"), dim = l.integer("dim"), half = dim / 2;
  const bool interleaved = l.integer("interleaved") != 0;
  const Index W = l.shape(0)[2].constant;
  const Name x = l.op("Reshape", {l.slice(l.in(0), 2, 0, H * D), l.ints({0, 0, H, D})});
  const Name c = l.unsqueeze(l.named("cos"), {-2}), s = l.unsqueeze(l.named("sin"), {-2});
  const Name x1 = interleaved ? l.slice(x, 3, 0, dim, 2) : l.slice(x, 3, 0, half);
  const Name x2 = interleaved ? l.slice(x, 3, 1, dim, 2) : l.slice(x, 3, half, dim);
  Name y1 = l.op("Sub", {l.op("Mul", {c, x1}), l.op("Mul", {s, x2})});
  Name y2 = l.op("Add", {l.op("Mul", {s, x1}), l.op("Mul", {c, x2})});
  if (interleaved) y1 = l.unsqueeze(y1, {-1}), y2 = l.unsqueeze(y2, {-1});
  Name y = l.op("Concat", {y1, y2}, {{"axis", Index{-1}}});
  if (interleaved) y = l.op("Reshape", {y, l.ints({0, 0, H, dim})});
  if (dim < D) y = l.op("Concat", {y, l.slice(x, 3, dim, D)}, {{"axis", Index{-1}}});
  y = l.op("Reshape", {y, l.ints({0, 0, H * D})});
  if (H * D == W) return y;
  return l.op("Concat", {y, l.slice(l.in(0), 2, H * D, W)}, {{"axis", Index{2}}});
}

// x / sqrt(mean(x^2) + eps) in each head of the first columns, times the gain of queries or keys.
Name qk_norm(Lowering& l) {
  const Index D = l.integer("d_head"), queries = l.integer("queries"), heads = queries + l.integer("keys");
  const Index W = l.shape(0)[2].constant;
  const Name x = l.op("Reshape", {l.slice(l.in(0), 2, 0, heads * D), l.ints({0, 0, heads, D})});
  const Name mean = l.op("ReduceMean", {l.op("Mul", {x, x})}, {{"axes", std::vector<Index>{-1}}});
  Name y = l.op("Div", {x, l.op("Sqrt", {l.op("Add", {mean, l.constant(l.number("eps"))})})});
  std::vector<Index> row(std::size_t(heads), 1);
  std::fill_n(row.begin(), queries, 0);
  if (const Name& gain = l.in(1); !gain.empty())
    y = l.op("Mul", {y, l.op("Gather", {l.op("Reshape", {gain, l.ints({-1, D})}), l.ints(row)})});
  y = l.op("Reshape", {y, l.ints({0, 0, heads * D})});
  return heads * D == W ? y : l.op("Concat", {y, l.slice(l.in(0), 2, heads * D, W)}, {{"axis", Index{2}}});
}

// Inputs x, W_ih, W_hh, b, then b_hh where the recurrent gates have one, h, c. ONNX has time in front, and
// the gates in another order: of a GRU z, r, h instead of r, z, n; of an LSTM i, o, f, g instead of i, f, g,
// o.
Name recurrent(Lowering& l, const char* type, const std::vector<Index>& order) {
  const bool apart = order.size() == 3, carries = order.size() == 4;
  const Index H = l.shape(2)[1].constant;
  auto bias = [&](const Name& b) {
    return b.empty() ? l.op("Expand", {l.constant(0.0), l.ints({1, Index(order.size()) * H})})
                     : gates(l, b, order, H);
  };
  auto state = [&](std::size_t i) {
    return l.in(i).empty() ? "" : l.unsqueeze(l.in(i), {0});
  };
  const Name x = l.op("Transpose", {l.in(0)}, {{"perm", std::vector<Index>{1, 0, 2}}});
  const Name b = l.op("Concat", {bias(l.in(3)), bias(apart ? l.in(4) : "")}, {{"axis", Index{1}}});
  const std::string direction = l.integer("reverse") ? "reverse" : "forward";
  Names inputs{x, gates(l, l.in(1), order, H), gates(l, l.in(2), order, H),
               b, l.named("lengths"),          state(apart ? 5 : 4)};
  if (carries) inputs.push_back(state(5));
  const Names results =
      apart ? l.op(type, inputs,
                   {{"hidden_size", H}, {"direction", direction}, {"linear_before_reset", Index{1}}}, 2)
            : l.op(type, inputs, {{"hidden_size", H}, {"direction", direction}}, carries ? 3 : 2);
  for (std::size_t i = 1; i < results.size(); i++) l.also(i, l.op("Squeeze", {results[i], l.ints({0})}));
  return l.op("Transpose", {l.op("Squeeze", {results[0], l.ints({1})})},
              {{"perm", std::vector<Index>{1, 0, 2}}});
}

}  // namespace qkv::onnx
