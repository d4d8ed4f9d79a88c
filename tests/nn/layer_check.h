// Helpers of the layer tests: parameters by name, and the gradients of everything in a store against central
// differences.
#pragma once
#include <functional>

#include "qkv/nn/parameter.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "tensors.h"

namespace qkv::test {

/// The tensor of that name; it shares the store's buffer.
inline Tensor named(const ParameterStore& store, const std::string& name) {
  for (NamedTensor& own : store.named())
    if (own.name == name) return own.tensor;
  FAIL("no parameter is called ", name);
  return {};
}
inline std::vector<std::string> names(const ParameterStore& store) {
  std::vector<std::string> result;
  for (NamedTensor& own : store.named()) result.push_back(own.name);
  return result;
}

/// Fills all parameters with normal numbers, so that none is at a special value such as a zero bias.
inline void randomize(ParameterStore& store, double scale = 0.5) {
  std::uint64_t seed = 100;
  for (NamedTensor& own : store.named())
    own.tensor.copy_from(normal(own.tensor.shape(), own.tensor.dtype(), seed++, scale));
}

/// The gradient of every named tensor of an f64 store, of the sum of f() times weights that differ from
/// element to element (a plain sum hides misplaced gradients), against central differences: the largest
/// |analytic - numeric| / max(1, |analytic|, |numeric|). Infinite when a parameter gets no gradient.
inline double gradient_error(ParameterStore& store, const std::function<Var()>& f) {
  auto probe = [&] {
    const Var y = f();
    return sum(y * Var(normal(y.shape(), y.dtype(), 7)));
  };
  Gradients gradients;
  {
    Tape tape;
    gradients = tape.backward(probe());
  }
  double worst = 0;
  for (int s = 0; s < store.size(); s++) {
    if (!gradients.has_slot(s)) return INFINITY;
    double* value = store.slot(s).value.data<double>();
    for (Index i = 0; i < store.slot(s).value.size(); i++) {
      const double kept = value[i], h = 1e-5, analytic = gradients.of_slot(s).at(i);
      value[i] = kept + h;
      const double above = probe().value().item();
      value[i] = kept - h;
      const double below = probe().value().item();
      value[i] = kept;
      const double numeric = (above - below) / (2 * h);
      worst = std::max(worst,
                       std::abs(analytic - numeric) / std::max({1.0, std::abs(analytic), std::abs(numeric)}));
    }
  }
  return worst;
}

/// The message of the error that `f` throws, or "accepted".
inline std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace qkv::test
