// Reductions and shape operators.
#include <algorithm>
#include <numeric>

#include "operators.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv::conformance {
namespace {

using List = std::vector<Var>;
using Function = Var (*)(const Var&);
using Reduction = Var (*)(const Var&, const Axes&, bool);

Var same(const Var& x) {
  return x;
}

// after(reduction(before(x))). Axes are an input or, in older opsets, an attribute. With empty axes and
// `noop_with_empty_axes` nothing is reduced, but `before` and `after` still apply.
Operator reduction(Reduction reduce, Function before = same, Function after = same, Function noop = same) {
  return [=](Call& c) {
    std::vector<Index> axes = c.integer_list("axes");
    if (c.has(1)) axes = c.integers(1);
    const bool keep = c.flag("keepdims", true);
    const Var x = c.data(0);
    if (c.flag("noop_with_empty_axes", false) && axes.empty()) return List{noop(x)};
    return List{after(reduce(before(x), axes_of(axes), keep))};
  };
}

Operator extreme_position(bool largest) {
  return [=](Call& c) {
    const Var x = c.data(0);
    const int axis = axis_of(c.integer("axis", 0), x.rank());
    const bool keep = c.flag("keepdims", true), last = c.flag("select_last_index", false);
    return List{argmax(largest ? x : -x, axis, keep, last)};
  };
}

// A shape that a case states; cases are small, so a huge one is damage.
Shape shape_of(const std::vector<Index>& extents) {
  const Shape shape(extents.data(), static_cast<int>(extents.size()));
  QKV_CHECK(shape.size() < Index{1} << 28, "shape must have below 2^28 elements; got {}", shape);
  return shape;
}

Var one_hot_of(Call& c) {
  const double depth = c.number(1);
  QKV_CHECK(depth >= 0 && depth < 1e6, "depth must be in [0, 1000000); got {}", depth);
  const Index n = static_cast<Index>(depth);
  QKV_CHECK(c.value(0).shape.size() * n < Index{1} << 28, "y must have below 2^28 elements; got {} x {}",
            c.value(0).shape, n);
  // ids outside [-n, n) give a row of off-values: an n-th class that is cut off again
  Tensor ids = c.ids(0).clone();
  for (Index i = 0; i < ids.size(); i++) {
    std::int32_t& id = ids.data<std::int32_t>()[i];
    id = static_cast<std::int32_t>(id < -n || id >= n ? n : id < 0 ? id + n : id);
  }
  const Var hot = slice(one_hot(ids, n + 1, c.dtype()), -1, 0, n);
  const Value& values = c.value(2);
  QKV_CHECK(values.numbers.size() == 2, "values must be [off, on]; got {}", values.shape);
  const Var y = hot * (values.numbers[1] - values.numbers[0]) + values.numbers[0];
  const int axis = axis_of(c.integer("axis", -1), y.rank());
  std::vector<Index> order;
  for (int i = 0; i < y.rank(); i++) order.push_back(i == axis ? y.rank() - 1 : i < axis ? i : i - 1);
  return permute(y, axes_of(order));
}

Var transposed(Call& c) {
  const Var x = c.data(0);
  std::vector<Index> order = c.integer_list("perm");
  if (!c.has_attribute("perm"))
    for (int i = x.rank() - 1; i >= 0; i--) order.push_back(i);
  return permute(x, axes_of(order));
}

Var reshaped(Call& c) {
  const Var x = c.data(0);
  std::vector<Index> shape = c.integers(1);
  const bool allow_zero = c.flag("allowzero", false);
  Index known = 1;
  for (std::size_t i = 0; i < shape.size(); i++) {
    if (shape[i] == 0 && !allow_zero) shape[i] = x.dim(static_cast<int>(i));
    if (shape[i] != -1) known *= shape[i];
  }
  for (Index& extent : shape)
    if (extent == -1) extent = known ? x.value().size() / known : 0;
  return reshape(x, shape_of(shape));
}

Var with_ones(Call& c) {
  const Var x = c.data(0);
  const std::vector<Index> list = c.has(1) ? c.integers(1) : c.integer_list("axes");
  const int rank = x.rank() + static_cast<int>(list.size());
  std::vector<bool> is_new(static_cast<std::size_t>(rank));
  for (Index axis : list) is_new[static_cast<std::size_t>(axis_of(axis, rank))] = true;
  Shape shape;
  for (int i = 0, from = 0; i < rank; i++)
    shape.push_back(is_new[static_cast<std::size_t>(i)] ? 1 : x.dim(from++));
  return reshape(x, shape);
}

Var without_ones(Call& c) {
  const Var x = c.data(0);
  const std::vector<Index> list = c.has(1) ? c.integers(1) : c.integer_list("axes");
  unsigned gone = 0;
  for (Index axis : list) gone |= 1u << axis_of(axis, x.rank());
  Shape shape;
  for (int i = 0; i < x.rank(); i++)
    if (list.empty() ? x.dim(i) != 1 : !(gone >> i & 1u)) shape.push_back(x.dim(i));
  return reshape(x, shape);
}

Var joined(Call& c) {
  List parts;
  for (int i = 0; i < c.inputs(); i++) parts.push_back(c.data(i));
  const Index axis = c.integer("axis", 1);
  return concat(parts.data(), c.inputs(), parts.empty() ? 0 : axis_of(axis, parts[0].rank()));
}

// Everything before `axis` as rows, the rest as columns.
Var flattened(Call& c) {
  const Var x = c.data(0);
  const Index given = c.integer("axis", 1);
  const int axis = given == x.rank() ? x.rank() : axis_of(given, x.rank());
  return reshape(x, Shape{x.shape().size_of(0, axis), x.shape().size_of(axis, x.rank())});
}

// Steps of 1; beginnings and ends beyond the axis are clamped to it.
Var sliced(Call& c) {
  Var x = c.data(0);
  const std::vector<Index> begins = c.integers(1), ends = c.integers(2);
  std::vector<Index> axes(begins.size());
  std::iota(axes.begin(), axes.end(), Index{0});
  if (c.has(3)) axes = c.integers(3);
  QKV_CHECK(begins.size() == ends.size() && begins.size() == axes.size(),
            "starts, ends and axes must go together; got {}", begins.size());
  if (c.has(4))
    for (Index step : c.integers(4)) QKV_CHECK(step == 1, "steps must be 1; got {}", step);
  for (std::size_t i = 0; i < axes.size(); i++) {
    const int axis = axis_of(axes[i], x.rank());
    const Index n = x.dim(axis);
    auto place = [n](Index at) {
      return std::clamp(at < 0 ? at + n : at, Index{0}, n);
    };
    x = slice(x, axis, place(begins[i]), std::max(place(begins[i]), place(ends[i])));
  }
  return x;
}

// Given extents, or as many parts as there are outputs, the last one smaller where they do not divide.
List parts_of(Call& c) {
  const Var x = c.data(0);
  const int axis = axis_of(c.integer("axis", 0), x.rank());
  const Index n = x.dim(axis), count = c.integer("num_outputs", c.outputs());
  QKV_CHECK(count > 0, "num_outputs must be positive; got {}", count);
  List parts;
  for (Index i = 0, begin = 0; i < count; i++) {
    const Index extent = c.has(1) ? c.integers(1).at(static_cast<std::size_t>(i)) : (n + count - 1) / count;
    const Index end = c.has(1) ? begin + extent : std::min(n, begin + extent);
    parts.push_back(slice(x, axis, begin, end));
    begin = end;
  }
  return parts;
}

Var triangle(Call& c) {
  const Index k = c.has(1) ? static_cast<Index>(c.number(1)) : 0;
  return c.flag("upper", true) ? triu(c.data(0), k) : tril(c.data(0), k);
}

const Counterpart kTable[] = {
    {"ReduceSum", reduction(sum)},
    {"ReduceMean", reduction(mean)},
    {"ReduceMax", reduction(max)},
    {"ReduceMin", reduction(min)},
    {"ReduceSumSquare", reduction(sum, square, same, square)},
    {"ReduceL1", reduction(sum, abs, same, abs)},
    {"ReduceL2", reduction(sum, square, sqrt, abs)},
    {"ReduceLogSum", reduction(sum, same, log, log)},
    {"ReduceLogSumExp", reduction(logsumexp)},
    {"ArgMax", extreme_position(true)},
    {"ArgMin", extreme_position(false)},
    {"CumSum",
     [](Call& c) {
       const Var x = c.data(0);
       const int axis = axis_of(static_cast<Index>(c.number(1)), x.rank());
       return List{cumsum(x, axis, c.flag("exclusive", false), c.flag("reverse", false))};
     }},
    {"Concat",
     [](Call& c) {
       return List{joined(c)};
     }},
    {"Expand",
     [](Call& c) {
       const Var x = c.data(0);
       return List{broadcast_to(x, broadcast("Expand", x.shape(), shape_of(c.integers(1))))};
     }},
    {"Gather",
     [](Call& c) {
       const Var x = c.data(0);
       return List{index_select(x, c.ids(1), axis_of(c.integer("axis", 0), x.rank()))};
     }},
    {"GatherElements",
     [](Call& c) {
       const Var x = c.data(0);
       return List{take_along(x, c.ids(1), axis_of(c.integer("axis", 0), x.rank()))};
     }},
    {"Transpose",
     [](Call& c) {
       return List{transposed(c)};
     }},
    {"Trilu",
     [](Call& c) {
       return List{triangle(c)};
     }},
    {"OneHot",
     [](Call& c) {
       return List{one_hot_of(c)};
     }},
    {"Flatten",
     [](Call& c) {
       return List{flattened(c)};
     }},
    {"Slice",
     [](Call& c) {
       return List{sliced(c)};
     }},
    {"Split", parts_of},
    {"Reshape",
     [](Call& c) {
       return List{reshaped(c)};
     }},
    {"Squeeze",
     [](Call& c) {
       return List{without_ones(c)};
     }},
    {"Unsqueeze",
     [](Call& c) {
       return List{with_ones(c)};
     }},
};

}  // namespace
}  // namespace qkv::conformance
