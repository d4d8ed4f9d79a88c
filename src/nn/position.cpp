#include "qkv/nn/position.h"

#include <algorithm>
#include <cmath>

#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"

namespace qkv {

Tensor sinusoidal_table(Index rows, Index origin, Index width, Dtype dtype) {
  Tensor table = Tensor::empty({rows, width}, Dtype::f64);
  double* values = table.data<double>();
  for (Index r = 0; r < rows; r++)
    for (Index i = 0; i < width; i++) {
      const double angle = static_cast<double>(r - origin) *
                           std::pow(10000.0, -static_cast<double>(i / 2 * 2) / static_cast<double>(width));
      values[r * width + i] = i % 2 ? std::cos(angle) : std::sin(angle);
    }
  return table.to(dtype);
}

Position::Position(const Scope& s, const PositionConfig& c, Index max_length, Index width)
    : none(c.type == "none"),
      relative(!none && c.origin == "target"),
      max_length(max_length),
      path(s.path()) {
  if (none) return;
  const Index rows = relative ? 2 * max_length - 1 : max_length;
  if (c.type == "learned") {
    weight = s.param("weight", {rows, width}, init::vectors());
  } else {
    fixed = s.store().symbolic()
                ? Tensor::symbolic({rows, width}, s.store().dtype())
                : sinusoidal_table(rows, relative ? max_length - 1 : 0, width, s.store().dtype());
  }
}

Var Position::operator()(const Var& x, const Tensor& target) const {
  if (none) return x;
  LayerPath here(path);
  const Index B = x.dim(0), T = x.dim(1);
  QKV_CHECK(relative || T <= max_length, "position: length must be at most max_seq_len = {}; got {}",
            max_length, T);
  QKV_CHECK(!relative || (target.defined() && target.shape() == Shape{B} && target.dtype() == Dtype::i32),
            "position: target must be i32 {} with origin = \"target\"; got {}", Shape{B},
            target.defined() ? target.str() : "none");
  // Row of the table for each position: t, or t - target + (max_length - 1), clipped at both ends.
  Tensor rows = Tensor::result(relative ? Shape{B, T} : Shape{T}, x.value(), Dtype::i32);
  if (!rows.is_symbolic()) {
    std::int32_t* row = rows.data<std::int32_t>();
    for (Index i = 0; i < rows.size(); i++) {
      Index position = relative ? i % T - target.data<std::int32_t>()[i / T] + max_length - 1 : i;
      row[i] = static_cast<std::int32_t>(
          std::clamp<Index>(position, 0, relative ? 2 * max_length - 2 : max_length - 1));
    }
  }
  if (weight.defined()) return x + embedding(rows, weight);  // [B, T, d]
  return x * std::sqrt(static_cast<double>(x.dim(2))) + embedding(rows, fixed);
}

}  // namespace qkv
