#include "ops/optimizer_kernels.h"

#include <cmath>

#include "tensor/rows.h"

namespace qkv {
namespace {

// Calls f(g, state...) on batches of all elements; f changes its state arguments in place.
template <class T, class F, class... State>
void update(Index n, F f, const T* g, State*... state) {
  auto step = [&](auto at, auto... batch) {
    f(at.load(g), batch...);
    (at.store(state, batch), ...);
  };
  simd::for_batches<T>(n, [&](auto at) { step(at, at.load(state)...); });
}

template <class T>
simd::Batch<T> all(double value) {
  return simd::Batch<T>(T(value));
}

template <class T, bool kDecoupled>
void adam(const char* op, T* p, T* m, T* v, const T* g, Index n, const AdamStep& s) {
  QKV_CHECK(s.step >= 1, "{}: step must be at least 1; got {}", op, s.step);
  const double t = double(s.step);
  const auto scale = all<T>(s.scale), beta1 = all<T>(s.beta1), beta2 = all<T>(s.beta2), eps = all<T>(s.eps);
  const auto one_minus_beta1 = all<T>(1 - s.beta1), one_minus_beta2 = all<T>(1 - s.beta2);
  // Decoupled: p - (lr wd) p. In f32 a factor 1 - lr wd would lose most digits of lr wd.
  const auto decay = all<T>(kDecoupled ? s.learning_rate * s.weight_decay : s.weight_decay);
  const auto rate = all<T>(s.learning_rate / (1 - std::pow(s.beta1, t)));
  const auto unbias = all<T>(1 / std::sqrt(1 - std::pow(s.beta2, t)));
  update<T>(
      n,
      [&](auto gradient, auto& p, auto& m, auto& v) {
        gradient = gradient * scale;
        if constexpr (kDecoupled)
          p = p - decay * p;
        else
          gradient = gradient + decay * p;
        m = beta1 * m + one_minus_beta1 * gradient;
        v = beta2 * v + one_minus_beta2 * gradient * gradient;
        p = p - rate * m / (xsimd::sqrt(v) * unbias + eps);
      },
      g, p, m, v);
}

}  // namespace

template <class T>
void adamw_update(T* p, T* m, T* v, const T* g, Index n, const AdamStep& step) {
  adam<T, true>("adamw_update", p, m, v, g, n, step);
}

template <class T>
void adam_update(T* p, T* m, T* v, const T* g, Index n, const AdamStep& step) {
  adam<T, false>("adam_update", p, m, v, g, n, step);
}

template <class T>
void sgd_update(T* p, T* u, const T* g, Index n, const SgdStep& s) {
  QKV_CHECK(u || s.momentum == 0, "sgd_update: momentum needs a buffer; got momentum {} and none",
            s.momentum);
  const auto scale = all<T>(s.scale), decay = all<T>(s.weight_decay), rate = all<T>(s.learning_rate);
  const auto momentum = all<T>(s.momentum);
  if (s.momentum == 0)
    return update<T>(
        n, [&](auto gradient, auto& p) { p = p - rate * (gradient * scale + decay * p); }, g, p);
  update<T>(
      n,
      [&](auto gradient, auto& p, auto& u) {
        gradient = gradient * scale + decay * p;
        u = momentum * u + gradient;
        p = p - rate * (s.nesterov ? gradient + momentum * u : u);
      },
      g, p, u);
}

template <class T>
void lion_update(T* p, T* m, const T* g, Index n, const LionStep& s) {
  const auto scale = all<T>(s.scale), beta1 = all<T>(s.beta1), beta2 = all<T>(s.beta2), zero = all<T>(0);
  const auto one_minus_beta1 = all<T>(1 - s.beta1), one_minus_beta2 = all<T>(1 - s.beta2);
  const auto rate = all<T>(s.learning_rate), decay = all<T>(s.learning_rate * s.weight_decay);
  update<T>(
      n,
      [&](auto gradient, auto& p, auto& m) {
        gradient = gradient * scale;
        const auto direction = beta1 * m + one_minus_beta1 * gradient;
        const auto step = xsimd::select(direction == zero, zero, xsimd::copysign(rate, direction));
        p = p - decay * p - step;
        m = beta2 * m + one_minus_beta2 * gradient;
      },
      g, p, m);
}

template <class T>
double sum_of_squares(const T* g, Index n) {
  // Sixteen sums, whatever the width of the machine's registers, added by halves.
  constexpr Index kSums = 16;
  double sums[kSums] = {};
  Index i = 0;
  for (; i + kSums <= n; i += kSums)
    for (Index j = 0; j < kSums; j++) sums[j] += double(g[i + j]) * double(g[i + j]);
  for (Index j = 0; i < n; i++, j++) sums[j] += double(g[i]) * double(g[i]);
  for (Index half = kSums / 2; half > 0; half /= 2)
    for (Index j = 0; j < half; j++) sums[j] += sums[j + half];
  return sums[0];
}

template void adamw_update(float*, float*, float*, const float*, Index, const AdamStep&);
template void adam_update(float*, float*, float*, const float*, Index, const AdamStep&);
template void sgd_update(float*, float*, const float*, Index, const SgdStep&);
template void lion_update(float*, float*, const float*, Index, const LionStep&);
template double sum_of_squares(const float*, Index);
template void adamw_update(double*, double*, double*, const double*, Index, const AdamStep&);
template void adam_update(double*, double*, double*, const double*, Index, const AdamStep&);
template void sgd_update(double*, double*, const double*, Index, const SgdStep&);
template void lion_update(double*, double*, const double*, Index, const LionStep&);
template double sum_of_squares(const double*, Index);

}  // namespace qkv
