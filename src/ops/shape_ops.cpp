#include "qkv/ops/shape_ops.h"

#include "autograd/trace.h"
#include "copy.h"
#include "elementwise.h"

namespace qkv {
using namespace copying;
namespace {

const Op kReshape("reshape", [](GradSuite& g) {
  g.check("matrix", {g.normal({2, 6})}, [](const Vars& in) { return reshape(in[0], {3, -1}); });
  g.check("scalar", {g.normal({1, 1})}, [](const Vars& in) { return reshape(in[0], Shape{}); });
});
const Op kPermute("permute", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& shape, const Axes& order) {
    g.check(label, {g.normal(shape)}, [=](const Vars& in) { return permute(in[0], order); });
  };
  check("matrix", {3, 5}, {1, 0});
  check("heads", {2, 3, 2, 4}, {0, 2, 1, 3});
  check("reversed", {2, 3, 4}, {-1, 1, 0});
  check("identity", {2, 3}, {0, 1});
  check("size 1", {1, 1}, {1, 0});
  check("scalar", {}, {});
});
const Op kBroadcastTo("broadcast_to", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& from, const Shape& to) {
    g.check(label, {g.normal(from)}, [=](const Vars& in) { return broadcast_to(in[0], to); });
  };
  check("rows", {3}, {2, 3});
  check("columns", {3, 1}, {3, 2});
  check("middle", {2, 1, 3}, {2, 4, 3});
  check("scalar", {}, {2, 3});
  check("same", {2, 3}, {2, 3});
});
const Op kTril("tril", [](GradSuite& g) {
  for (Index diagonal : {-1, 0, 2})
    g.check("matrices", {g.normal({2, 3, 4})}, [=](const Vars& in) { return tril(in[0], diagonal); });
});
const Op kTriu("triu", [](GradSuite& g) {
  for (Index diagonal : {-1, 0, 2})
    g.check("matrices", {g.normal({2, 3, 4})}, [=](const Vars& in) { return triu(in[0], diagonal); });
});

// How a permutation copies: axes that stay neighbours are merged; then `from[i]` is the distance in x between
// neighbours along axis i of y.
struct Rearrangement {
  int rank = 0;
  Index extent[Shape::kMaxRank], from[Shape::kMaxRank];

  Rearrangement(const Shape& shape, const Axes& order) {
    for (int i = 0; i < order.count(); i++) {
      const int axis = shape.check_axis(order[i]);
      const Index n = shape[axis], stride = shape.size_of(axis + 1, shape.rank());
      if (n == 1) continue;
      if (rank > 0 && from[rank - 1] == n * stride)
        extent[rank - 1] *= n, from[rank - 1] = stride;
      else
        extent[rank] = n, from[rank++] = stride;
    }
  }

  // Calls f(y, x) with the first elements of every combination of the axes other than the last and `second`.
  template <class F>
  void each(int second, const Index* to, F f) const {
    Index count[Shape::kMaxRank] = {}, y = 0, x = 0;
    for (;;) {
      f(y, x);
      int i = rank - 2;
      for (; i >= 0; i--) {
        if (i == second) continue;
        y += to[i], x += from[i];
        if (++count[i] < extent[i]) break;
        y -= to[i] * extent[i], x -= from[i] * extent[i], count[i] = 0;
      }
      if (i < 0) return;
    }
  }
};

// y[r, c] = x[c, r] in tiles, so that both sides stay in cache lines: rows of y are `to` apart, of x `from`.
template <class T>
void transpose_tiles(Index rows, Index columns, T* y, Index to, const T* x, Index from) {
  constexpr Index tile = 16;
  for (Index r0 = 0; r0 < rows; r0 += tile)
    for (Index c0 = 0; c0 < columns; c0 += tile) {
      const Index r1 = std::min(rows, r0 + tile), c1 = std::min(columns, c0 + tile);
      for (Index r = r0; r < r1; r++)
        for (Index c = c0; c < c1; c++) y[r * to + c] = x[c * from + r];
    }
}

template <class T>
void rearrange(const Rearrangement& p, T* y, const T* x) {
  if (p.rank == 0) return void(*y = *x);
  const int last = p.rank - 1;
  Index to[Shape::kMaxRank];
  to[last] = 1;
  for (int i = last; i > 0; i--) to[i - 1] = to[i] * p.extent[i];
  if (p.from[last] == 1) {  // rows stay whole
    const Index width = p.extent[last], rows = last > 0 ? p.extent[last - 1] : 1;
    const Index step = last > 0 ? p.from[last - 1] : 0;
    p.each(last - 1, to, [&](Index iy, Index ix) {
      for (Index r = 0; r < rows; r++)
        std::memcpy(y + iy + r * width, x + ix + r * step, std::size_t(width) * sizeof(T));
    });
    return;
  }
  int row = 0;  // the axis of y along which x is contiguous
  while (p.from[row] != 1) row++;
  p.each(row, to, [&](Index iy, Index ix) {
    transpose_tiles(p.extent[row], p.extent[last], y + iy, to[row], x + ix, p.from[last]);
  });
}

Tensor permuted(const Tensor& x, const Axes& order) {
  Shape shape;
  for (int i = 0; i < order.count(); i++) shape.push_back(x.dim(order[i]));
  Tensor y = Tensor::result(shape, x);
  if (y.is_symbolic() || y.size() == 0) return y;
  const Rearrangement plan(x.shape(), order);
  dispatch_all(x.dtype(), [&](auto t) {
    using T = decltype(t);
    rearrange<T>(plan, y.data<T>(), x.data<T>());
  });
  return y;
}

}  // namespace

Var reshape(const Var& x, const Shape& shape) {
  return record(kReshape, {x}, x.value().reshape(shape),
                [](const Tensor& dy, Sink& dx) { dx.add(0, dy.reshape(dx.shape(0))); });
}

Var reshape(const Var& x, std::initializer_list<Index> extents) {
  return reshape(x, x.value().reshape(extents).shape());
}

Var permute(const Var& x, const Axes& order) {
  QKV_CHECK(order.count() == x.rank() && order.mask("permute", x.shape()) + 1 == 1u << x.rank(),
            "permute: order must name each axis once; got {} axes for {}", order.count(), x.shape());
  std::vector<Index> noted;
  for (int i = 0; Trace::current() && i < order.count(); i++) noted.push_back(x.shape().check_axis(order[i]));
  Note()("order", noted);
  return record(kPermute, {x}, permuted(x.value(), order), [=](const Tensor& dy, Sink& dx) {
    int inverse[Shape::kMaxRank] = {};
    for (int i = 0; i < order.count(); i++) inverse[dy.shape().check_axis(order[i])] = i;
    dx.add(0, permuted(dy, Axes(inverse, order.count())));
  });
}

Var transpose(const Var& x, int a, int b) {
  Axes(a).mask("transpose", x.shape()), Axes(b).mask("transpose", x.shape());
  int order[Shape::kMaxRank];
  for (int i = 0; i < x.rank(); i++) order[i] = i;
  std::swap(order[x.shape().check_axis(a)], order[x.shape().check_axis(b)]);
  return permute(x, Axes(order, x.rank()));
}

Var broadcast_to(const Var& x, const Shape& shape) {
  const Broadcast<2> plan("broadcast_to", x.shape(), shape);
  QKV_CHECK(plan.shape() == shape, "broadcast_to: shapes must broadcast; got {} to {}", x.shape(), shape);
  Tensor y = Tensor::result(shape, x.value());
  if (!y.is_symbolic())
    dispatch_all(x.dtype(), [&](auto t) {
      using T = decltype(t);
      const T* in = x.value().data<T>();
      plan.rows([&](Index row, const Index* at) {
        if (plan.step(0))
          std::copy_n(in + at[0], plan.width(), y.data<T>() + row);
        else
          std::fill_n(y.data<T>() + row, plan.width(), in[at[0]]);
      });
    });
  return record(kBroadcastTo, {x}, y,
                [=](const Tensor& dy, Sink& dx) { elementwise::accumulate_sum<false>(plan, 0, dy, dx); });
}

// Keeps columns [begin, end) of each row r of [.., R, C], begin and end depending on r; the others become 0.
static Tensor triangle(const Tensor& x, Index diagonal, bool lower) {
  Tensor y = Tensor::result(x.shape(), x);
  if (y.is_symbolic()) return y;
  const Index R = x.dim(-2), C = x.dim(-1), rows = x.shape().size_of(0, x.rank() - 1);
  dispatch_all(x.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index r = 0; r < rows; r++) {
      const T* in = x.data<T>() + r * C;
      T* out = y.data<T>() + r * C;
      const Index edge = std::clamp(r % R + diagonal + (lower ? 1 : 0), Index{0}, C);
      std::fill_n(out, C, T(0));
      std::copy(lower ? in : in + edge, lower ? in + edge : in + C, lower ? out : out + edge);
    }
  });
  return y;
}

static Var triangle(const Op& op, const Var& x, Index diagonal, bool lower) {
  QKV_CHECK(x.rank() >= 2, "{}: x must have at least 2 axes; got {}", op.name, x.shape());
  Note()("diagonal", diagonal);
  return record(op, {x}, triangle(x.value(), diagonal, lower),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, triangle(dy, diagonal, lower)); });
}

Var tril(const Var& x, Index diagonal) {
  return triangle(kTril, x, diagonal, true);
}

Var triu(const Var& x, Index diagonal) {
  return triangle(kTriu, x, diagonal, false);
}

}  // namespace qkv
