// Slices of an axis and joins along one.
#include <cstring>
#include <limits>

#include "autograd/trace.h"
#include "copy.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/rows.h"

namespace qkv {
using namespace copying;
namespace {

const Op kSlice("slice", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& shape, int axis, Index begin, Index end) {
    g.check(label, {g.normal(shape)}, [=](const Vars& in) { return slice(in[0], axis, begin, end); });
  };
  check("leading axis", {4, 3}, 0, 1, 3);
  check("last axis", {4, 3}, -1, 1, 2);
  check("middle axis", {2, 4, 3}, 1, 0, 2);
  check("negative end", {2, 4, 3}, 1, 1, -1);
  check("all", {3}, 0, 0, 3);
  g.check("split", {g.normal({2, 6})}, [](const Vars& in) {
    auto [a, b, c] = split<3>(in[0], 1);
    return concat({c, a, a, b}, 0);
  });
});
const Op kConcat("concat", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& a, const Shape& b, const Shape& c, int axis) {
    g.check(label, {g.normal(a), g.normal(b), g.normal(c)},
            [=](const Vars& in) { return concat(in.data(), 3, axis); });
  };
  check("leading axis", {2, 3}, {1, 3}, {3, 3}, 0);
  check("last axis", {2, 3}, {2, 1}, {2, 4}, -1);
  check("middle axis", {2, 1, 3}, {2, 2, 3}, {2, 1, 3}, 1);
  check("empty part", {2, 3}, {2, 0}, {2, 1}, 1);
  check("size 1", {1}, {1}, {1}, 0);
  g.check("one tensor twice", {g.normal({2, 3})}, [](const Vars& in) { return concat({in[0], in[0]}, 0); });
  for (int axis : {0, 1, -1})
    g.check("stack", {g.normal({2, 3}), g.normal({2, 3})}, [=](const Vars& in) {
      return stack({in[0], in[1]}, axis);
    });
});

// `rows` runs of `bytes` bytes from places `from_step` bytes apart to places `to_step` bytes apart.
void copy_runs(Index rows, Index bytes, std::byte* to, Index to_step, const std::byte* from,
               Index from_step) {
  if (bytes == 0) return;
  if (bytes == to_step && bytes == from_step) bytes *= rows, rows = 1;  // one run
  for (Index i = 0; i < rows; i++) std::memcpy(to + i * to_step, from + i * from_step, std::size_t(bytes));
}

// to[r, i] = beta to[r, i] + from[r, i] for runs of `n` elements in rows of `to_n` and `from_n`.
template <class T>
void add_runs(double beta, Index rows, Index n, T* to, Index to_n, const T* from, Index from_n) {
  for (Index r = 0; r < rows; r++)
    simd::apply_beta(beta, n, to + r * to_n, from + r * from_n, [](auto v) { return v; });
}

}  // namespace

Var slice(const Var& x, int axis, Index begin, Index end) {
  const AxisView view("slice", x.shape(), axis);
  const Index first = begin < 0 ? begin + view.n : begin, past = end < 0 ? end + view.n : end;
  QKV_CHECK(first >= 0 && first <= past && past <= view.n,
            "slice: range must lie in [0, {}]; got [{}, {}) on axis {} of {}", view.n, begin, end, axis,
            x.shape());
  const Index width = (past - first) * view.inner, row = view.n * view.inner, at = first * view.inner;
  Shape shape = x.shape();
  shape.set(view.axis, past - first);
  Tensor y;
  if (view.outer == 1)  // contiguous: share the buffer
    y = x.value().reshape(Shape{view.n, view.inner}).rows(first, past - first).reshape(shape);
  else
    y = Tensor::result(shape, x.value());
  const Index unit = Index(size_of(x.dtype()));
  if (view.outer != 1 && !y.is_symbolic())
    copy_runs(view.outer, width * unit, y.bytes(), width * unit, x.value().bytes() + at * unit, row * unit);
  Note()("axis", view.axis)("begin", first)("end", past);
  return record(kSlice, {x}, y, [=](const Tensor& dy, Sink& dx) {
    Tensor d = dx.zeroed(0);
    dispatch("slice", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      add_runs<T>(1, view.outer, width, d.data<T>() + at, row, dy.data<T>(), width);
    });
  });
}

Var concat(const Var* parts, int count, int axis) {
  QKV_CHECK(count > 0, "concat: at least one tensor must be given; got none");
  const Var& head = parts[0];
  axis = AxisView("concat", head.shape(), axis).axis;
  Shape shape = head.shape();
  Index extent = 0;
  const Tensor* like = &head.value();
  for (int i = 0; i < count; i++) {
    Shape others = parts[i].shape();
    QKV_CHECK(others.rank() == shape.rank(), "concat: ranks must agree; got {} and {} at position {}",
              head.shape(), others, i);
    extent += others[axis];
    others.set(axis, shape[axis]);
    QKV_CHECK(others == shape, "concat: shapes must agree except on axis {}; got {} and {} at position {}",
              axis, head.shape(), parts[i].shape(), i);
    QKV_CHECK(parts[i].dtype() == head.dtype(), "concat: dtypes must agree; got {} and {} at position {}",
              head.dtype(), parts[i].dtype(), i);
    if (parts[i].is_symbolic()) like = &parts[i].value();
  }
  shape.set(axis, extent);
  Tensor y = Tensor::result(shape, *like);
  const AxisView view("concat", shape, axis);
  const Index row = view.n * view.inner;
  // Where each part begins within a row; a tensor, because its storage comes from the pool.
  Tensor begins = Tensor::empty({count + 1, 2}, Dtype::i32);
  QKV_CHECK(row < std::numeric_limits<std::int32_t>::max(),
            "concat: rows must have below 2^31 elements; got {}", row);
  std::int32_t* begin = begins.data<std::int32_t>();
  begin[0] = 0;
  for (int i = 0; i < count; i++) begin[i + 1] = begin[i] + std::int32_t(parts[i].dim(axis) * view.inner);
  if (!y.is_symbolic()) {
    const Index unit = Index(size_of(y.dtype()));
    for (int i = 0; i < count; i++) {
      const Index n = begin[i + 1] - begin[i];
      copy_runs(view.outer, n * unit, y.bytes() + begin[i] * unit, row * unit, parts[i].value().bytes(),
                n * unit);
    }
  }
  static thread_local std::vector<Input> inputs;  // keeps its capacity
  inputs.clear();
  for (int i = 0; i < count; i++) inputs.emplace_back(parts[i]);
  Note()("axis", axis);
  return record(kConcat, inputs.data(), count, y, [=](const Tensor& dy, Sink& dx) {
    const std::int32_t* begin = begins.data<std::int32_t>();
    for (int i = 0; i < count; i++) {
      if (!dx.needs(i)) continue;
      Sink::Buffer d = dx.buffer(i);
      const Index n = begin[i + 1] - begin[i];
      dispatch("concat", dy.dtype(), [&](auto t) {
        using T = decltype(t);
        add_runs<T>(d.beta, view.outer, n, d.gradient.data<T>(), n, dy.data<T>() + begin[i], row);
      });
    }
  });
}

Var concat(std::initializer_list<Var> parts, int axis) {
  return concat(parts.begin(), int(parts.size()), axis);
}

Tensor joined(const std::vector<Tensor>& parts) {
  if (parts.size() == 1) return parts[0];
  const std::vector<Var> all(parts.begin(), parts.end());
  return concat(all.data(), int(all.size()), 0).value();
}

Var stack(const Var* parts, int count, int axis) {
  QKV_CHECK(count > 0, "stack: at least one tensor must be given; got none");
  const Shape& shape = parts[0].shape();
  const int rank = shape.rank() + 1, at = axis < 0 ? axis + rank : axis;
  QKV_CHECK(at >= 0 && at < rank, "stack: axis must be in [{}, {}); got {} for shape {}", -rank, rank, axis,
            shape);
  Shape unit;
  for (int i = 0; i < rank; i++) unit.push_back(i == at ? 1 : shape[i < at ? i : i - 1]);
  static thread_local std::vector<Var> reshaped;  // keeps its capacity
  reshaped.clear();
  for (int i = 0; i < count; i++) {
    QKV_CHECK(parts[i].shape() == shape, "stack: shapes must agree; got {} and {} at position {}", shape,
              parts[i].shape(), i);
    reshaped.push_back(reshape(parts[i], unit));
  }
  Var y = concat(reshaped.data(), count, at);
  reshaped.clear();
  return y;
}

Var stack(std::initializer_list<Var> parts, int axis) {
  return stack(parts.begin(), int(parts.size()), axis);
}

}  // namespace qkv
