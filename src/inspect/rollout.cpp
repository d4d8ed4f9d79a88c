#include "inspect/rollout.h"

#include "inspect/look.h"
#include "qkv/base/text.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

// [rows, columns] with ones from column `first` on.
Tensor identity(Index rows, Index columns, Index first) {
  Tensor x = Tensor::zeros({rows, columns}, Dtype::f64);
  for (Index i = 0; i < rows; i++) x.data<double>()[i * columns + first + i] = 1;
  return x;
}

}  // namespace

std::vector<RolloutLayer> rollout(const Experiment& e, const ProbeText& text) {
  const Activations all = activations_of(e, text, {"weights", "residual"});
  const Index T = Index(text.words.size()), S = Index(text.source.size());
  Var own = identity(T, S + T, S), source = identity(S, S + T, 0);
  std::vector<RolloutLayer> layers;
  for (const auto& [name, tensor] : all) {
    const std::string layer = path_of(name);
    if (!ends_with(name, ".weights") || layer == "copy") continue;
    const bool crosses = ends_with(layer, ".cross_attn"), encodes = of_source(name);
    Var& held = encodes ? source : own;
    const Var A = mean(reshape(tensor.to(Dtype::f64), {tensor.dim(1), tensor.dim(2), tensor.dim(3)}), {0});
    const Var read = matmul(A, crosses ? source : held);
    held = adds(e, all, layer) ? (read + held) * 0.5 : read;
    layers.push_back({layer, held.value()});
  }
  check_attention(e, !layers.empty(), "inspect rollout");
  return layers;
}

}  // namespace qkv
