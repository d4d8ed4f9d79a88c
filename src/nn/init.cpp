#include "qkv/nn/parameter.h"

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
    for (Index i = 0; i < t.size(); i++) values[i] = T(draw(stream));
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
  QKV_CHECK(fan_in > 0, "init: fan_in must be positive; got {}", fan_in);
  const double bound = 1.0 / std::sqrt(double(fan_in));
  return uniform(-bound, bound);
}

Init xavier() {
  return [](Tensor& t, const Stream& stream) {
    QKV_CHECK(t.rank() == 2, "init: xavier is for matrices [fan_out, fan_in]; got {}", t.shape());
    const double bound = std::sqrt(6.0 / double(t.dim(0) + t.dim(1)));
    uniform(-bound, bound)(t, stream);
  };
}

Init vectors() {
  return [](Tensor& t, const Stream& stream) {
    normal(1.0 / std::sqrt(double(t.dim(-1))))(t, stream);
  };
}

}  // namespace qkv::init
