#include "inspect/inside.h"

#include "inspect/look.h"
#include "model/finite.h"
#include "ops/copy.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"

namespace qkv {

std::vector<LensPoint> lens(const Experiment& e, const Asked& asked) {
  const Activations all = activations_of(e, asked.text, {"in", "residual", "out"});
  std::vector<LensPoint> points;
  std::vector<Tensor> streams;
  std::string last;  // layer: its output is replaced
  for (const auto& [name, tensor] : all)
    if (!of_source(name) && ends_with(name, ".out") && is_layer(path_of(name))) last = name;
  if (last.empty()) lacks(e, "inspect lens", "layers");
  const Shape& shape = find_activation(all, last)->shape();
  for (const std::string& name : stream_points(all)) {
    if (of_source(name)) continue;
    const Tensor& x = *find_activation(all, name);
    if (x.shape() != shape) {
      console().warn("inspect lens: {} is {}, not {} as the last layer's output: it is left out", name,
                     x.shape(), shape);
      continue;
    }
    points.push_back({name, {}});
    streams.push_back(x);
  }
  const Var stacked = joined(streams);
  const Intervention change(
      {"out"}, [&](const std::string& name, const Var& x) { return name == last ? stacked : x; });
  const auto n = Index(points.size());
  const Tensor logits = finite_forward(*e.model, rows_of(e, asked.text, n)).to(Dtype::f64);
  for (Index i = 0; i < n; i++)
    points[std::size_t(i)].logits = logits.rows(i, 1).reshape(asked.logits.shape());
  return points;
}

std::vector<double> probabilities(const Tensor& logits, Index row) {
  return softmax(logits.rows(row, 1)).value().to_vector();
}

// ---- rollout

std::vector<RolloutLayer> rollout(const Experiment& e, const ProbeText& text) {
  const Activations all = activations_of(e, text, {"weights", "residual"});
  const std::size_t T = text.words.size(), S = text.source.size();
  Var own = to_tensor(xt::eye<double>({T, S + T}, int(S))), source = to_tensor(xt::eye<double>({S, S + T}));
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
