#include "inspect/lens.h"

#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

std::vector<LensPoint> lens(const Experiment& e, const Asked& asked) {
  const Activations all = activations_of(e, asked.text, {"in", "residual", "out"});
  std::vector<LensPoint> points;
  std::vector<Var> streams;
  std::string last;  // layer: its output is replaced
  for (const auto& [name, tensor] : all)
    if (!of_source(name) && ends_with(name, ".out") && is_layer(path_of(name))) last = name;
  if (last.empty())
    fail(Fault::usage, "inspect lens: the model must have layers; got a '{}' without",
         e.config.section("model").type(Model::kDefault));
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
    streams.emplace_back(x);
  }
  const Var stacked = concat(streams.data(), int(streams.size()), 0);
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

}  // namespace qkv
