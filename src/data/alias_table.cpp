#include "data/alias_table.h"

#include <cmath>

#include "qkv/base/error.h"

namespace qkv {

AliasTable::AliasTable(const std::vector<double>& weights) {
  double total = 0;
  for (double w : weights) {
    QKV_CHECK(w >= 0 && std::isfinite(w), "alias table: weights must be finite and not negative; got {}", w);
    total += w;
  }
  QKV_CHECK(total > 0 && std::isfinite(total), "alias table: the sum of the weights must be positive; got {}",
            total);
  const auto n = static_cast<double>(weights.size());
  std::vector<double> rest;  // of each value, in cells
  std::vector<int> poor, rich;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    rest.push_back(weights[i] / total * n);
    (rest.back() < 1 ? poor : rich).push_back(static_cast<int>(i));
  }
  constexpr double kWhole = 4294967296.0;
  cells_.resize(weights.size());
  auto fill = [&](int i, double share, int other) {
    cells_[static_cast<std::size_t>(i)] = {static_cast<std::uint64_t>(share * kWhole), i, other};
  };
  while (!poor.empty() && !rich.empty()) {
    const int small = poor.back(), large = rich.back();
    poor.pop_back();
    fill(small, rest[static_cast<std::size_t>(small)], large);
    double& left = rest[static_cast<std::size_t>(large)];
    left -= 1 - rest[static_cast<std::size_t>(small)];
    if (left >= 1) continue;
    rich.pop_back();
    poor.push_back(large);
  }
  for (int i : rich) fill(i, 1, i);
  for (int i : poor) fill(i, 1, i);  // 1 but for rounding
}

}  // namespace qkv
