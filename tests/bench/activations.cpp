// Elementwise functions over numbers that fit in L2, forward and with gradients.
#include "qkv/ops/activations.h"

#include "micro.h"

namespace qkv::bench {
namespace {

constexpr Index kElements = 32 * 1024;

template <Var (*F)(const Var&)>
void function(benchmark::State& state) {
  const Tensor x = random_tensor({kElements}, -4, 4);
  value(state, [&] { return F(x); });
  count(state, kElements, 2);
}
template <Var (*F)(const Var&)>
void gradient(benchmark::State& state) {
  with_gradients(state, {random_tensor({kElements}, -4, 4)}, [](auto& v) { return F(v[0]); });
  count(state, kElements, 5);
}

Var gelu_tanh(const Var& x) {
  return gelu(x, GeluForm::tanh);
}
Var gelu_erf(const Var& x) {
  return gelu(x, GeluForm::erf);
}
Var silu_plain(const Var& x) {
  return silu(x);
}

BENCHMARK_TEMPLATE(function, qkv::exp)->Name("exp_value");
BENCHMARK_TEMPLATE(function, qkv::tanh)->Name("tanh_value");
BENCHMARK_TEMPLATE(function, qkv::erf)->Name("erf_value");
BENCHMARK_TEMPLATE(function, qkv::sigmoid)->Name("sigmoid_value");
BENCHMARK_TEMPLATE(function, qkv::log)->Name("log_value");
BENCHMARK_TEMPLATE(function, gelu_tanh)->Name("gelu_tanh_value");
BENCHMARK_TEMPLATE(function, gelu_erf)->Name("gelu_erf_value");
BENCHMARK_TEMPLATE(gradient, qkv::tanh)->Name("tanh_gradient");
BENCHMARK_TEMPLATE(gradient, gelu_tanh)->Name("gelu_tanh_gradient");
BENCHMARK_TEMPLATE(gradient, gelu_erf)->Name("gelu_erf_gradient");
BENCHMARK_TEMPLATE(gradient, silu_plain)->Name("silu_gradient");

}  // namespace
}  // namespace qkv::bench
