#include "qkv/ops/embedding.h"

#include <algorithm>

#include "autograd/trace.h"
#include "copy.h"
#include "qkv/autograd/gradcheck.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

const Op kEmbedding("embedding", [](GradSuite& g) {
  auto check = [&](const char* label, const Tensor& ids, const Shape& table) {
    g.check(label, {g.normal(table)}, [=](const Vars& in) { return embedding(ids, in[0]); });
  };
  check("repeated and unused rows", g.ints({2, 3}, {4, 0, 4, 4, 1, 0}), {5, 3});
  check("one id", g.ints({}, {1}), {2, 9});
  check("size 1", g.ints({1}, {0}), {1, 1});
});

const Op kEmbeddingBag("embedding_bag", [](GradSuite& g) {
  auto check = [&](const char* label, const Tensor& ids, const Tensor& offsets, const Shape& table) {
    g.check(label, {g.normal(table)}, [=](const Vars& in) { return embedding_bag(ids, offsets, in[0]); });
  };
  check("bags", g.ints({6}, {4, 0, 4, 1, 1, 3}), g.ints({4}, {0, 3, 3, 6}), {5, 3});
  check("one bag", g.ints({2}, {1, 0}), g.ints({2}, {0, 2}), {2, 9});
  check("empty bags", g.ints({0}, {}), g.ints({3}, {0, 0, 0}), {2, 2});
  check("size 1", g.ints({1}, {0}), g.ints({2}, {0, 1}), {1, 1});
});

void check_table(const char* op, const Tensor& ids, const Var& table) {
  QKV_CHECK(table.rank() == 2 && table.dtype() != Dtype::i32,
            "{}: table must be f32 or f64 [V, d]; got {} {}", op, table.dtype(), table.shape());
  QKV_CHECK(ids.defined() && ids.dtype() == Dtype::i32, "{}: ids must be i32; got {} {}", op, ids.dtype(),
            ids.shape());
  if (ids.is_symbolic()) return;
  const std::int32_t* id = ids.data<std::int32_t>();
  for (Index i = 0; i < ids.size(); i++)
    QKV_CHECK(id[i] >= 0 && id[i] < table.dim(0),
              "{}: id must be in [0, {}); got {} at position {} (table {})", op, table.dim(0), id[i], i,
              table.shape());
}

const Op kMaskedMean("masked_mean", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& x, const Tensor& keep) {
    g.check(label, {g.normal(x)}, [=](const Vars& in) { return masked_mean(in[0], keep); });
  };
  check("padding", {2, 3, 4}, g.ints({2, 3}, {1, 1, 0, 1, 1, 1}));
  check("empty row", {2, 2, 9}, g.ints({2, 2}, {0, 0, 0, 1}));
  check("size 1", {1, 1, 1}, g.ints({1, 1}, {1}));
});

const Op kSelectPositions("select_positions", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& x, const Tensor& positions) {
    g.check(label, {g.normal(x)}, [=](const Vars& in) { return select_positions(in[0], positions); });
  };
  check("positions", {3, 4, 2}, g.ints({3}, {3, 0, 2}));
  check("size 1", {1, 1, 1}, g.ints({1}, {0}));
});

}  // namespace

Var embedding(const Tensor& ids, const Var& table) {
  check_table("embedding", ids, table);
  Shape shape = ids.shape();
  shape.push_back(table.dim(1));
  Note()("ids", ids);
  return copying::gather(kEmbedding, table, copying::AxisView("embedding", table.shape(), 0), ids, shape);
}

Var embedding_bag(const Tensor& ids, const Tensor& offsets, const Var& table) {
  check_table("embedding_bag", ids, table);
  QKV_CHECK(ids.rank() == 1 && offsets.rank() == 1 && offsets.dtype() == Dtype::i32 && offsets.size() > 0,
            "embedding_bag: ids must be [N] and offsets i32 [W + 1]; got ids {}, offsets {} {}", ids.shape(),
            offsets.dtype(), offsets.shape());
  const Index bags = offsets.size() - 1, d = table.dim(1);
  if (ids.is_symbolic() || offsets.is_symbolic() || table.is_symbolic())
    return Tensor::symbolic({bags, d}, table.dtype());
  const std::int32_t* at = offsets.data<std::int32_t>();
  QKV_CHECK(at[0] == 0 && at[bags] == ids.size(),
            "embedding_bag: offsets must go from 0 to the number of ids {}; got {} to {}", ids.size(), at[0],
            at[bags]);
  for (Index w = 0; w < bags; w++)
    QKV_CHECK(at[w] <= at[w + 1], "embedding_bag: offsets must not decrease; got {} after {} at position {}",
              at[w + 1], at[w], w + 1);
  // Calls f(bag, id, 1 / size of the bag) for every id.
  auto each = [ids, offsets, bags](auto f) {
    const std::int32_t *id = ids.data<std::int32_t>(), *at = offsets.data<std::int32_t>();
    for (Index w = 0; w < bags; w++)
      for (Index i = at[w]; i < at[w + 1]; i++) f(w, Index{id[i]}, 1.0 / (at[w + 1] - at[w]));
  };
  return dispatch("embedding_bag", table.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::zeros({bags, d}, table.dtype());
    each([&](Index w, Index id, double part) {
      simd::add_scaled(d, T(part), table.value().data<T>() + id * d, y.data<T>() + w * d);
    });
    Note()("ids", ids)("offsets", offsets);
    return record(kEmbeddingBag, {table}, y, [=](const Tensor& dy, Sink& dx) {
      T* gradient = dx.zeroed(0).data<T>();
      each([&](Index w, Index id, double part) {
        simd::add_scaled(d, T(part), dy.data<T>() + w * d, gradient + id * d);
      });
    });
  });
}

Var masked_mean(const Var& x, const Tensor& keep) {
  QKV_CHECK(x.rank() == 3, "masked_mean: x must be [B, T, d]; got {}", x.shape());
  const Index B = x.dim(0), length = x.dim(1), d = x.dim(2);
  QKV_CHECK(keep.shape() == Shape({B, length}) && keep.dtype() == Dtype::i32,
            "masked_mean: keep must be i32 {}; got {} {}, x {}", Shape({B, length}), keep.dtype(),
            keep.shape(), x.shape());
  if (x.is_symbolic() || keep.is_symbolic()) return Tensor::symbolic({B, d}, x.dtype());
  // 1 / number of kept tokens of a sequence; 0 when there are none
  auto part = [keep, length](Index b) {
    const std::int32_t* row = keep.data<std::int32_t>() + b * length;
    const auto kept = length - std::count(row, row + length, 0);
    return kept > 0 ? 1.0 / double(kept) : 0.0;
  };
  return dispatch("masked_mean", x.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::zeros({B, d}, x.dtype());
    for (Index b = 0; b < B; b++) {
      T* mean = y.data<T>() + b * d;
      for (Index i = b * length; i < (b + 1) * length; i++)
        if (keep.data<std::int32_t>()[i]) simd::add(d, mean, x.value().data<T>() + i * d);
      simd::scale(d, T(part(b)), mean);
    }
    Note()("keep", keep);
    return record(kMaskedMean, {x}, y, [=](const Tensor& dy, Sink& dx) {
      Sink::Buffer buffer = dx.buffer(0);
      for (Index b = 0; b < B; b++) {
        const simd::Batch<T> scale(T(part(b)));
        for (Index i = b * length; i < (b + 1) * length; i++) {
          T* row = buffer.gradient.data<T>() + i * d;
          if (keep.data<std::int32_t>()[i])
            simd::apply_beta(buffer.beta, d, row, dy.data<T>() + b * d, [&](auto g) { return g * scale; });
          else if (buffer.beta == 0.0)
            std::fill_n(row, d, T(0));
        }
      }
    });
  });
}

Var select_positions(const Var& x, const Tensor& positions) {
  QKV_CHECK(x.rank() == 3, "select_positions: x must be [B, T, d]; got {}", x.shape());
  const Index B = x.dim(0), length = x.dim(1), d = x.dim(2);
  QKV_CHECK(positions.shape() == Shape{B} && positions.dtype() == Dtype::i32,
            "select_positions: positions must be i32 {}; got {} {}, x {}", Shape{B}, positions.dtype(),
            positions.shape(), x.shape());
  if (x.is_symbolic() || positions.is_symbolic()) return Tensor::symbolic({B, d}, x.dtype());
  Tensor rows = positions.clone();  // of [B * T, d]
  std::int32_t* at = rows.data<std::int32_t>();
  for (Index b = 0; b < B; b++) {
    QKV_CHECK(at[b] >= 0 && at[b] < length, "select_positions: position must be in [0, {}); got {} in row {}",
              length, at[b], b);
    at[b] += std::int32_t(b * length);
  }
  Note()("positions", positions);
  return copying::gather(kSelectPositions, x, {0, 1, B * length, d}, rows, {B, d});
}

}  // namespace qkv
