#include "qkv/ops/pool.h"

#include <algorithm>

#include "qkv/autograd/gradcheck.h"
#include "qkv/tensor/simd.h"

namespace qkv {
namespace {

Tensor ints(const Shape& shape, std::vector<std::int32_t> values) {
  return Tensor::from(shape, values);
}

const Op kMaskedMean("masked_mean", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& x, const Tensor& keep) {
    g.check(label, {g.normal(x)}, [=](const std::vector<Var>& in) { return masked_mean(in[0], keep); });
  };
  check("padding", {2, 3, 4}, ints({2, 3}, {1, 1, 0, 1, 1, 1}));
  check("empty row", {2, 2, 9}, ints({2, 2}, {0, 0, 0, 1}));
  check("size 1", {1, 1, 1}, ints({1, 1}, {1}));
});

const Op kSelectPositions("select_positions", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& x, const Tensor& positions) {
    g.check(label, {g.normal(x)},
            [=](const std::vector<Var>& in) { return select_positions(in[0], positions); });
  };
  check("positions", {3, 4, 2}, ints({3}, {3, 0, 2}));
  check("size 1", {1, 1, 1}, ints({1}, {0}));
});

}  // namespace

Var masked_mean(const Var& x, const Tensor& keep) {
  QKV_CHECK(x.rank() == 3, "masked_mean: x must be [B, T, d]; got {}", x.shape());
  const Index B = x.dim(0), T_ = x.dim(1), d = x.dim(2);
  QKV_CHECK(keep.shape() == Shape({B, T_}) && keep.dtype() == Dtype::i32,
            "masked_mean: keep must be i32 {}; got {} {}, x {}", Shape({B, T_}), keep.dtype(), keep.shape(),
            x.shape());
  if (x.is_symbolic() || keep.is_symbolic()) return Tensor::symbolic({B, d}, x.dtype());
  Tensor y = Tensor::zeros({B, d}, x.dtype());
  // 1 / number of kept tokens of a sequence; 0 when there are none
  auto part = [keep, T_](Index b) {
    const std::int32_t* row = keep.data<std::int32_t>() + b * T_;
    const auto kept = T_ - std::count(row, row + T_, 0);
    return kept > 0 ? 1.0 / static_cast<double>(kept) : 0.0;
  };
  dispatch("masked_mean", x.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index b = 0; b < B; b++) {
      const simd::Batch<T> scale(static_cast<T>(part(b)));
      T* mean = y.data<T>() + b * d;
      for (Index i = b * T_; i < (b + 1) * T_; i++)
        if (keep.data<std::int32_t>()[i])
          simd::apply_beta<T>(
              1.0, d, mean, [](auto v) { return v; }, x.value().data<T>() + i * d);
      simd::apply<T>(
          d, mean, [&](auto v) { return v * scale; }, mean);
    }
  });
  return record(kMaskedMean, {x}, y, [=](const Tensor& dy, Sink& dx) {
    dispatch("masked_mean", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      Sink::Buffer buffer = dx.buffer(0);
      for (Index b = 0; b < B; b++) {
        const simd::Batch<T> scale(static_cast<T>(part(b)));
        for (Index i = b * T_; i < (b + 1) * T_; i++) {
          T* row = buffer.gradient.data<T>() + i * d;
          if (keep.data<std::int32_t>()[i])
            simd::apply_beta<T>(
                buffer.beta, d, row, [&](auto g) { return g * scale; }, dy.data<T>() + b * d);
          else if (buffer.beta == 0.0)
            std::fill_n(row, d, T(0));
        }
      }
    });
  });
}

Var select_positions(const Var& x, const Tensor& positions) {
  QKV_CHECK(x.rank() == 3, "select_positions: x must be [B, T, d]; got {}", x.shape());
  const Index B = x.dim(0), T_ = x.dim(1), d = x.dim(2);
  QKV_CHECK(positions.shape() == Shape{B} && positions.dtype() == Dtype::i32,
            "select_positions: positions must be i32 {}; got {} {}, x {}", Shape{B}, positions.dtype(),
            positions.shape(), x.shape());
  if (x.is_symbolic() || positions.is_symbolic()) return Tensor::symbolic({B, d}, x.dtype());
  const std::int32_t* at = positions.data<std::int32_t>();
  for (Index b = 0; b < B; b++)
    QKV_CHECK(at[b] >= 0 && at[b] < T_, "select_positions: position must be in [0, {}); got {} in row {}", T_,
              at[b], b);
  Tensor y = Tensor::empty({B, d}, x.dtype());
  dispatch("select_positions", x.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index b = 0; b < B; b++)
      std::copy_n(x.value().data<T>() + (b * T_ + at[b]) * d, d, y.data<T>() + b * d);
  });
  return record(kSelectPositions, {x}, y, [=](const Tensor& dy, Sink& dx) {
    dispatch("select_positions", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      T* gradient = dx.zeroed(0).data<T>();
      for (Index b = 0; b < B; b++) {
        const Index row = b * T_ + positions.data<std::int32_t>()[b];
        simd::apply_beta<T>(
            1.0, d, gradient + row * d, [](auto g) { return g; }, dy.data<T>() + b * d);
      }
    });
  });
}

}  // namespace qkv
