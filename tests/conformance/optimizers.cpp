// Optimiser steps: inputs are R (learning rate), T (number of updates so far), then n tensors of each kind.
#include <cmath>

#include "operators.h"
#include "ops/optimizer_kernels.h"
#include "qkv/ops/arithmetic.h"

namespace qkv::conformance {
namespace {

// Calls f(T{}, x, g, state...) for each tensor with writable copies; results come as all x, then all of each
// state.
template <class F>
std::vector<Var> each(Call& c, int states, F f) {
  const int kinds = 2 + states, n = (c.inputs() - 2) / kinds;
  QKV_CHECK(c.inputs() == 2 + n * kinds && n > 0, "inputs must be R, T and {} tensors per parameter; got {}",
            kinds, c.inputs());
  std::vector<Var> results(static_cast<std::size_t>(n * (1 + states)));
  for (int i = 0; i < n; i++) {
    Tensor t[4];
    for (int k = 0; k < kinds; k++) {
      t[k] = c.data(2 + k * n + i).value().clone();
      QKV_CHECK(t[k].shape() == t[0].shape(),
                "tensors of one parameter must have equal shapes; got {} and {}", t[0].shape(), t[k].shape());
    }
    f(t);
    for (int k = 0; k < kinds; k++)
      if (k != 1) results[static_cast<std::size_t>((k ? k - 1 : 0) * n + i)] = t[k];
  }
  return results;
}

// Our bias correction divides v by 1 - b2^t before eps is added; the operator corrects the learning rate
// instead, so that its eps is ours times sqrt(1 - b2^t). Before the first update (T = 0) it corrects nothing.
std::vector<Var> adam(Call& c) {
  AdamStep step;
  step.beta1 = c.real("alpha", 0.9), step.beta2 = c.real("beta", 0.999);
  step.weight_decay = c.real("norm_coefficient", 0.0);
  const double T = c.number(1), eps = c.real("epsilon", 0.0), after = c.real("norm_coefficient_post", 0.0);
  QKV_CHECK(T >= 0 && T < 1e9, "T must be in [0, 1e9); got {}", T);
  step.step = T > 0 ? static_cast<Index>(T) : 1;
  const double t = static_cast<double>(step.step);
  const double root = std::sqrt(1 - std::pow(step.beta2, t));
  step.eps = eps / root;
  step.learning_rate = c.number(0) * (T > 0 ? 1.0 : (1 - step.beta1) / root);
  return each(c, 2, [&](Tensor* x) {
    dispatch("Adam", c.dtype(), [&](auto zero) {
      using E = decltype(zero);
      adam_update<E>(x[0].data<E>(), x[2].data<E>(), x[3].data<E>(), x[1].data<E>(), x[0].size(), step);
    });
    if (after != 0) x[0] = mul(x[0], 1 - after).value();
  });
}

// V = alpha V + beta' G with G = g + norm x and beta' = beta after the first update, else 1: our gradient
// times beta'. With Nesterov the operator adds G itself, not beta' G.
std::vector<Var> momentum(Call& c) {
  SgdStep step;
  step.momentum = c.real("alpha", 0.0);
  const double factor = c.number(1) > 0 ? c.real("beta", 1.0) : (c.ignore("beta"), 1.0);
  const double decay = c.real("norm_coefficient", 0.0);
  step.learning_rate = c.number(0);
  step.scale = factor;
  step.weight_decay = factor * decay;
  const std::string mode = c.text("mode", "standard");
  QKV_CHECK(mode == "standard" || mode == "nesterov", "mode must be standard or nesterov; got {}", mode);
  step.nesterov = mode == "nesterov";
  return each(c, 1, [&](Tensor* x) {
    const Var start = x[0].clone(), gradient = Var(x[1]) + start * decay;
    dispatch("Momentum", c.dtype(), [&](auto zero) {
      using E = decltype(zero);
      sgd_update<E>(x[0].data<E>(), x[2].data<E>(), x[1].data<E>(), x[0].size(), step);
    });
    if (step.nesterov && factor != 1)
      x[0] = (start - step.learning_rate * (gradient + step.momentum * Var(x[2]))).value();
  });
}

const Counterpart kTable[] = {{"Adam", adam}, {"Momentum", momentum}};

}  // namespace
}  // namespace qkv::conformance
