#include "qkv/ops/pool.h"

#include <algorithm>

#include "copy.h"
#include "qkv/autograd/gradcheck.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

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

Var masked_mean(const Var& x, const Tensor& keep) {
  QKV_CHECK(x.rank() == 3, "masked_mean: x must be [B, T, d]; got {}", x.shape());
  const Index B = x.dim(0), length = x.dim(1), d = x.dim(2);
  QKV_CHECK(keep.shape() == Shape({B, length}) && keep.dtype() == Dtype::i32,
            "masked_mean: keep must be i32 {}; got {} {}, x {}", Shape({B, length}), keep.dtype(),
            keep.shape(), x.shape());
  if (x.is_symbolic() || keep.is_symbolic()) return Tensor::symbolic({B, d}, x.dtype());
  Tensor y = Tensor::zeros({B, d}, x.dtype());
  // 1 / number of kept tokens of a sequence; 0 when there are none
  auto part = [keep, length](Index b) {
    const std::int32_t* row = keep.data<std::int32_t>() + b * length;
    const auto kept = length - std::count(row, row + length, 0);
    return kept > 0 ? 1.0 / double(kept) : 0.0;
  };
  dispatch("masked_mean", x.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index b = 0; b < B; b++) {
      T* mean = y.data<T>() + b * d;
      for (Index i = b * length; i < (b + 1) * length; i++)
        if (keep.data<std::int32_t>()[i]) simd::add(d, mean, x.value().data<T>() + i * d);
      simd::scale(d, T(part(b)), mean);
    }
  });
  return record(kMaskedMean, {x}, y, [=](const Tensor& dy, Sink& dx) {
    dispatch("masked_mean", dy.dtype(), [&](auto t) {
      using T = decltype(t);
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
  return copying::gather(kSelectPositions, x, {0, 1, B * length, d}, rows, {B, d});
}

}  // namespace qkv
