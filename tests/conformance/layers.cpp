// Products, softmax, norms, losses and rotary embedding.
#include <limits>

#include "operators.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/attention.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/norm.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv::conformance {
namespace {

using List = std::vector<Var>;

// Y = alpha A' B' + beta C
Var gemm_of(Call& c) {
  const Var a = c.data(0), b = c.data(1);
  const double alpha = c.real("alpha", 1.0), beta = c.real("beta", 1.0);
  const Var left = c.flag("transA", false) ? transpose(a) : a,
            right = c.flag("transB", false) ? transpose(b) : b;
  const Var y = matmul(left, right) * alpha;
  return c.has(2) ? y + c.data(2) * beta : y;
}

// From opset 13 along one axis; before, over all axes from `axis` on together.
Operator soft(Var (*f)(const Var&, int)) {
  return [f](Call& c) {
    const Var x = c.data(0);
    const bool one_axis = c.opset() >= 13;
    const int axis = axis_of(c.integer("axis", one_axis ? -1 : 1), x.rank());
    if (one_axis) return List{f(x, axis)};
    const Index rows = x.shape().size_of(0, axis);
    return List{reshape(f(reshape(x, Shape{rows, x.shape().size_of(axis, x.rank())}), -1), x.shape())};
  };
}

// Gain or bias, which may repeat along the normalised axes.
Var parameter(Call& c, int i, const Var& x, int axis) {
  return broadcast_to(c.data(i), Shape(x.shape().begin() + axis, x.rank() - axis));
}

List layer_normalization(Call& c) {
  const Var x = c.data(0);
  const int axis = axis_of(c.integer("axis", -1), x.rank());
  const double eps = c.real("epsilon", 1e-5);
  c.ignore("stash_type");
  const Var bias = c.has(2) ? parameter(c, 2, x, axis) : Var();
  List y{layer_norm(x, parameter(c, 1, x, axis), bias, axis, eps)};
  int axes[Shape::kMaxRank];
  for (int i = axis; i < x.rank(); i++) axes[i - axis] = i;
  const Axes normalized(axes, x.rank() - axis);
  const Var center = mean(x, normalized, true);
  y.push_back(center);
  if (c.wants(2)) y.push_back(pow(mean(square(x - center), normalized, true) + eps, -0.5));
  return y;
}

List rms_normalization(Call& c) {
  const Var x = c.data(0);
  const int axis = axis_of(c.integer("axis", -1), x.rank());
  c.ignore("stash_type");
  return {rms_norm(x, parameter(c, 1, x, axis), axis, c.real("epsilon", 1e-5))};
}

// The channels [N, C, ..] of each group are normalised together: rows of a layer norm.
List group_normalization(Call& c) {
  const Var x = c.data(0);
  const Index groups = c.integer("num_groups", 1), N = x.dim(0), C = x.dim(1);
  c.ignore("stash_type");
  QKV_CHECK(groups > 0 && C % groups == 0, "channels must be divisible by num_groups; got {} and {}", C,
            groups);
  const Index width = N > 0 ? x.value().size() / (N * groups) : 0;
  const Var rows = reshape(x, Shape{N * groups, width});
  const Var y =
      reshape(layer_norm(rows, Tensor::full({width}, 1, c.dtype()), {}, c.real("epsilon", 1e-5)), x.shape());
  Shape channels{C};
  for (int i = 2; i < x.rank(); i++) channels.push_back(1);
  auto per_channel = [&](int i) {
    const Var p = c.data(i);  // one per channel, before opset 21 one per group
    const Var each = c.opset() >= 21 ? p : broadcast_to(reshape(p, Shape{groups, 1}), {groups, C / groups});
    return reshape(each, channels);
  };
  return {y * per_channel(1) + per_channel(2)};
}

// [N, C, d1, ..] -> [N, d1, .., C]
Var classes_last(const Var& x) {
  QKV_CHECK(x.rank() >= 2, "scores must be [N, C, ..]; got {}", x.shape());
  std::vector<Index> order{0};
  for (int i = 2; i < x.rank(); i++) order.push_back(i);
  order.push_back(1);
  return permute(x, axes_of(order));
}

// Sum, weighted mean or nothing of losses.
Var reduced(Call& c, const Var& losses, const Tensor& targets, const CrossEntropyOptions& o) {
  const std::string reduction = c.text("reduction", "mean");
  if (reduction == "none") return losses;
  if (reduction == "sum") return sum(losses);
  QKV_CHECK(reduction == "mean", "reduction must be none, sum or mean; got {}", reduction);
  double weight = 0;
  for (Index i = 0; i < targets.size(); i++) {
    const Index id = targets.data<std::int32_t>()[i];
    if (id != o.ignore_index) weight += o.class_weights.defined() ? o.class_weights.at(id) : 1.0;
  }
  return sum(losses) / weight;
}

CrossEntropyOptions options_of(Call& c) {
  CrossEntropyOptions o;
  o.ignore_index = std::numeric_limits<int>::min();
  if (c.has_attribute("ignore_index")) o.ignore_index = static_cast<int>(c.integer("ignore_index", 0));
  if (c.has(2)) o.class_weights = c.data(2).value();
  return o;
}

List cross_entropy_loss(Call& c) {
  const CrossEntropyOptions o = options_of(c);
  const Var scores = c.data(0), logits = classes_last(scores);
  const Tensor targets = c.ids(1);
  const std::string reduction = c.text("reduction", "mean");
  List y;
  if (reduction == "mean")
    y.push_back(cross_entropy_mean(logits, targets, o));
  else if (reduction == "sum")
    y.push_back(cross_entropy(logits, targets, o).sum);
  else
    y.push_back(reduced(c, cross_entropy_each(logits, targets, o), targets, o));
  if (c.wants(1)) y.push_back(log_softmax(scores, 1));
  return y;
}

List nll_loss(Call& c) {
  const CrossEntropyOptions o = options_of(c);
  const Tensor targets = c.ids(1);
  return {reduced(c, nll_loss_each(classes_last(c.data(0)), targets, o), targets, o)};
}

List rotary_embedding(Call& c) {
  const Var x = c.data(0);
  const bool heads_first = x.rank() == 4;  // [B, H, T, D]; else [B, T, H * D]
  QKV_CHECK(heads_first || x.rank() == 3, "input must have 3 or 4 axes; got {}", x.shape());
  const Index heads = c.integer("num_heads", 0), H = heads_first ? x.dim(1) : heads,
              T = x.dim(heads_first ? 2 : 1);
  QKV_CHECK(H > 0, "num_heads must be given with 3 axes; got {}", H);
  const Index D = heads_first ? x.dim(3) : x.dim(2) / H;
  RotaryOptions o(H, D);
  o.interleaved = c.flag("interleaved", false);
  if (const Index dim = c.integer("rotary_embedding_dim", 0)) o.dim = dim;
  RotaryTable table{c.data(1).value(), c.data(2).value()};
  if (c.has(3)) {
    table.cos = index_select(table.cos, c.ids(3)).value();
    table.sin = index_select(table.sin, c.ids(3)).value();
  }
  if (!heads_first) return {rotary(x, table, o)};
  const Var rows = reshape(permute(x, {0, 2, 1, 3}), Shape{x.dim(0), T, H * D});
  return {permute(reshape(rotary(rows, table, o), Shape{x.dim(0), T, H, D}), {0, 2, 1, 3})};
}

const Counterpart kTable[] = {
    {"MatMul",
     [](Call& c) {
       return List{matmul(c.data(0), c.data(1))};
     }},
    {"Gemm",
     [](Call& c) {
       return List{gemm_of(c)};
     }},
    {"Softmax", soft(softmax)},
    {"LogSoftmax", soft(log_softmax)},
    {"LayerNormalization", layer_normalization},
    {"RMSNormalization", rms_normalization},
    {"GroupNormalization", group_normalization},
    {"SoftmaxCrossEntropyLoss", cross_entropy_loss},
    {"NegativeLogLikelihoodLoss", nll_loss},
    {"RotaryEmbedding", rotary_embedding},
};

}  // namespace
}  // namespace qkv::conformance
