// Ops that pick elements by position.
#include <limits>

#include "autograd/trace.h"
#include "copy.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/rows.h"

namespace qkv {
using namespace copying;
namespace {

const Op kIndexSelect("index_select", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& x, const Tensor& ids, int axis) {
    g.check(label, {g.normal(x)}, [=](const Vars& in) { return index_select(in[0], ids, axis); });
  };
  check("rows", {5, 3}, g.ids({4}, 5), 0);
  check("columns", {2, 5}, g.ids({7}, 5), -1);
  check("middle axis", {2, 3, 4}, g.ids({2, 2}, 3), 1);
  check("scalar id", {3, 2}, g.ids({}, 3), 0);
  check("negative ids", {3, 2}, Tensor::from<std::int32_t>({3}, {-1, -3, 2}), 0);
  check("size 1", {1}, g.ids({1}, 1), 0);
});
const Op kTakeAlong("take_along", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& x, const Tensor& ids, int axis) {
    g.check(label, {g.normal(x)}, [=](const Vars& in) { return take_along(in[0], ids, axis); });
  };
  check("rows", {5, 3}, g.ids({4, 3}, 5), 0);
  check("columns", {2, 5}, g.ids({2, 7}, 5), -1);
  check("middle axis", {2, 3, 4}, g.ids({2, 5, 4}, 3), 1);
  check("part of the other axes", {3, 4}, g.ids({2, 2}, 4), 1);
  check("negative ids", {3}, Tensor::from<std::int32_t>({3}, {-1, -3, 2}), 0);
});

// Non-negative ids, checked.
Tensor resolved(const char* op, const Tensor& ids, Index n) {
  QKV_CHECK(ids.dtype() == Dtype::i32, "{}: ids must be i32; got {}", op, ids.dtype());
  if (ids.is_symbolic()) return ids;
  const std::int32_t* in = ids.data<std::int32_t>();
  bool negative = false;
  for (Index i = 0; i < ids.size(); i++) {
    QKV_CHECK(in[i] >= -n && in[i] < n, "{}: ids must be in [{}, {}); got {} at position {}", op, -n, n,
              in[i], i);
    negative = negative || in[i] < 0;
  }
  if (!negative) return ids;
  Tensor result = ids.clone();
  for (Index i = 0; i < ids.size(); i++)
    if (in[i] < 0) result.data<std::int32_t>()[i] += std::int32_t(n);
  return result;
}

}  // namespace

Var index_select(const Var& x, const Tensor& ids, int axis) {
  const AxisView view("index_select", x.shape(), axis);
  const Tensor picks = resolved("index_select", ids, view.n);
  Shape shape(x.shape().begin(), view.axis);
  for (Index extent : ids.shape()) shape.push_back(extent);
  for (int i = view.axis + 1; i < x.rank(); i++) shape.push_back(x.dim(i));
  Note()("axis", view.axis)("ids", ids);
  return gather(kIndexSelect, x, view, picks, shape);
}

Var copying::gather(const Op& op, const Var& x, const AxisView& view, const Tensor& ids, const Shape& shape) {
  Tensor y = Tensor::result(shape, ids.is_symbolic() ? ids : x.value(), x.dtype());
  // Calls f(element of y, element of x) for each part.
  auto each = [=](auto f) {
    const std::int32_t* id = ids.data<std::int32_t>();
    Index to = 0;
    for (Index o = 0; o < view.outer; o++)
      for (Index r = 0; r < ids.size(); r++, to += view.inner) f(to, (o * view.n + id[r]) * view.inner);
  };
  if (!y.is_symbolic())
    dispatch_all(x.dtype(), [&](auto t) {
      using T = decltype(t);
      const T* in = x.value().data<T>();
      T* out = y.data<T>();
      each([&](Index to, Index from) { std::copy_n(in + from, view.inner, out + to); });
    });
  return record(op, {x}, y, [=, name = op.name](const Tensor& dy, Sink& dx) {
    Tensor d = dx.zeroed(0);
    dispatch(name, dy.dtype(), [&](auto t) {
      using T = decltype(t);
      const T* g = dy.data<T>();
      T* sum = d.data<T>();
      each([&](Index to, Index from) { simd::add(view.inner, sum + from, g + to); });
    });
  });
}

Var take_along(const Var& x, const Tensor& ids, int axis) {
  const AxisView view("take_along", x.shape(), axis);
  bool fits = ids.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); i++) fits = i == view.axis || ids.dim(i) <= x.dim(i);
  QKV_CHECK(fits, "take_along: ids must be of x's rank and no larger except on axis {}; got ids {} for x {}",
            view.axis, ids.shape(), x.shape());
  Tensor at = resolved("take_along", ids, view.n).clone();  // positions in x
  QKV_CHECK(x.value().size() <= std::numeric_limits<std::int32_t>::max(),
            "take_along: x must have below 2^31 elements; got {}", x.shape());
  if (!at.is_symbolic())
    for (Index i = 0; i < at.size(); i++) {
      std::int32_t& own = at.data<std::int32_t>()[i];
      Index rest = i, position = 0, stride = 1;
      for (int k = x.rank() - 1; k >= 0; k--) {
        position += (k == view.axis ? own : rest % ids.dim(k)) * stride;
        rest /= ids.dim(k);
        stride *= x.dim(k);
      }
      own = std::int32_t(position);
    }
  Note()("axis", view.axis)("ids", ids);
  return gather(kTakeAlong, x, {0, 1, x.value().size(), 1}, at, ids.shape());
}

Tensor one_hot(const Tensor& ids, Index depth, Dtype dtype) {
  QKV_CHECK(ids.dtype() == Dtype::i32, "one_hot: ids must be i32; got {}", ids.dtype());
  Shape shape = ids.shape();
  shape.push_back(depth);
  if (ids.is_symbolic()) return Tensor::symbolic(shape, dtype);
  Tensor y = Tensor::zeros(shape, dtype);
  const std::int32_t* id = ids.data<std::int32_t>();
  for (Index i = 0; i < ids.size(); i++) {
    QKV_CHECK(id[i] >= 0 && id[i] < depth, "one_hot: ids must be in [0, {}); got {} at position {}", depth,
              id[i], i);
    dispatch_all(dtype, [&](auto t) { y.data<decltype(t)>()[i * depth + id[i]] = 1; });
  }
  Note()("ids", ids)("depth", depth).add("one_hot", y);
  return y;
}

}  // namespace qkv
