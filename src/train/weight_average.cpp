#include "train/weight_average.h"

#include <algorithm>

#include "base/at.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/tensor/simd.h"

namespace qkv {

static constexpr const char* kPrefix = "weights.";

WeightAverage::WeightAverage(const ParameterStore& store, double decay) : decay_(decay) {
  for (int s = 0; s < store.size(); s++)
    values_.push_back(store.symbolic() ? store.slot(s).value : store.slot(s).value.clone());
}

void WeightAverage::add(const ParameterStore& store, std::int64_t step) {
  const double n = static_cast<double>(step), decay = std::min(decay_, (1 + n) / (10 + n));
  pool().run(store.size(), [&](int s, int) {
    const Tensor& weights = store.slot(s).value;
    dispatch("average", weights.dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* average = at(values_, s).data<T>();
      const simd::Batch<T> share(static_cast<T>(1 - decay));
      simd::apply(weights.size(), average, average, weights.data<T>(),
                  [&](auto a, auto w) { return a + share * (w - a); });
    });
  });
}

void WeightAverage::restart(const ParameterStore& store) {
  for (int s = 0; s < store.size() && !store.symbolic(); s++) at(values_, s).copy_from(store.slot(s).value);
}

void WeightAverage::load(ParameterStore& store, std::vector<NamedTensor>& state, const std::string& where) {
  restart(store);
  const auto own = std::stable_partition(
      state.begin(), state.end(), [](const NamedTensor& one) { return !starts_with(one.name, kPrefix); });
  std::vector<NamedTensor> weights(own, state.end());
  state.erase(own, state.end());
  for (NamedTensor& one : weights) one.name.erase(0, std::char_traits<char>::length(kPrefix));
  store.load(weights, where);
}

std::vector<NamedTensor> WeightAverage::state(const ParameterStore& store) {
  std::vector<NamedTensor> weights = store.named();
  for (NamedTensor& one : weights) one.name = kPrefix + one.name;
  return weights;
}

void WeightAverage::InUse::exchange() {
  if (!average_) return;
  for (int s = 0; s < store_.size(); s++) std::swap(store_.slot(s).value, at(average_->values_, s));
}

std::size_t WeightAverage::bytes() const {
  std::size_t total = 0;
  for (const Tensor& value : values_) total += value.byte_size();
  return total;
}

}  // namespace qkv
