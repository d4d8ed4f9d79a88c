#include "qkv/nn/relative_bias.h"

#include <algorithm>
#include <cmath>

#include "qkv/ops/embedding.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

Index t5_bucket(Index distance, const RelativeConfig& c, bool causal) {
  const Index n = causal ? c.buckets : c.buckets / 2, exact = n / 2;
  const Index side = !causal && distance > 0 ? n : 0,
              d = causal ? std::max<Index>(0, -distance) : std::abs(distance);
  if (d < exact) return side + d;
  const double grown = std::log(double(d) / double(exact)) / std::log(double(c.max_distance) / double(exact));
  return side + std::min(n - 1, exact + Index(grown * double(n - exact)));
}

RelativeBias::RelativeBias(const Scope& s, const RelativeConfig& c, Index n_head, Index width)
    : weight(s.param("weight", {c.buckets, n_head}, init::normal(1 / std::sqrt(double(width))))) {
  for (const bool causal : {false, true}) {
    std::vector<std::int32_t> bucket;
    for (Index d = -c.max_distance; d <= c.max_distance; d++)
      bucket.push_back(std::int32_t(t5_bucket(d, c, causal)));
    rows[causal] = Tensor::from({Index(bucket.size())}, bucket);
  }
}

Var RelativeBias::table(bool causal) const {
  return permute(embedding(rows[causal], weight), {1, 0});
}

Tensor alibi_slopes(Index n_head, Dtype dtype) {
  Index power = 1;
  while (2 * power <= n_head) power *= 2;
  std::vector<double> slopes;
  for (Index i = 1; i <= power; i++) slopes.push_back(std::exp2(-8.0 * double(i) / double(power)));
  for (Index i = 1; Index(slopes.size()) < n_head; i += 2)
    slopes.push_back(std::exp2(-4.0 * double(i) / double(power)));
  return Tensor::from({n_head}, slopes).to(dtype);
}

Tensor alibi_bias(Index n_head, Index length, Dtype dtype) {
  const Tensor slopes = alibi_slopes(n_head, Dtype::f64);
  Tensor bias = Tensor::empty({n_head, 2 * length - 1}, Dtype::f64);
  for (Index i = 0; i < bias.size(); i++)
    bias.data<double>()[i] =
        -slopes.at(i / (2 * length - 1)) * double(std::abs(i % (2 * length - 1) - (length - 1)));
  return bias.to(dtype);
}

}  // namespace qkv
