#include "qkv/nn/init.h"

#include <cmath>

namespace qkv::init {

Init constant(double value) {
  return [=](Tensor& t, const Stream&) {
    t.fill(value);
  };
}

// Drawn in f64 and rounded, so that an f32 and an f64 model start from the same numbers.
static void assign(Tensor& t, const std::function<double(Stream&)>& draw, Stream stream) {
  dispatch("init", t.dtype(), [&](auto type) {
    using T = decltype(type);
    T* values = t.data<T>();
    for (Index i = 0; i < t.size(); i++) values[i] = static_cast<T>(draw(stream));
  });
}

Init normal(double deviation) {
  return [=](Tensor& t, const Stream& stream) {
    assign(
        t, [=](Stream& s) { return deviation * s.normal(); }, stream);
  };
}

Init uniform(double low, double high) {
  return [=](Tensor& t, const Stream& stream) {
    assign(
        t, [=](Stream& s) { return low + (high - low) * s.uniform64(); }, stream);
  };
}

Init kaiming(Index fan_in) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return uniform(-bound, bound);
}

Init xavier(Index fan_in, Index fan_out) {
  const double bound = std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
  return uniform(-bound, bound);
}

}  // namespace qkv::init
