#include "inspect/attribute.h"

#include <cmath>
#include <map>
#include <numeric>

#include "base/at.h"
#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/replace.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"

namespace qkv {
namespace {

// The score of each row of logits, added up.
Var total_score(const Var& logits, const Asked& asked) {
  const Var rows = answers_at(logits, asked.position);  // [B, C]
  auto column = [&](Index c) {
    return sum(slice(rows, 1, c, c + 1));
  };
  return asked.against < 0 ? column(asked.answer) : column(asked.answer) - column(asked.against);
}

[[noreturn]] void refuse(const std::string& rule, const std::string& got) {
  fail(Fault::usage, "inspect attribute: {}; got {}", rule, got);
}

bool close(double a, double b) {
  return std::abs(a - b) <= 1e-3 * std::max({1.0, std::abs(a), std::abs(b)});
}

// Whether a is b up to the rounding of f32.
bool same(const Var& a, const Var& b) {
  auto most = [](const Var& x) {
    return max(abs(x)).value().item();
  };
  return most(a - b) <= 1e-3 * std::max(1.0, most(b));
}

// ---- direct

// What a vector of the residual stream at each position adds to the score: linear, for this text.
class Readout {
 public:
  Readout(const Experiment& e, const Asked& asked, const Activations& all, const std::string& last) {
    gradient(e, asked);
    const Tensor& vectors = *find_activation(all, "vectors");
    const Tensor& stream = *find_activation(all, last);
    if (vectors.same_bits(stream)) return;
    for (const auto& [name, tensor] : all)
      if (ends_with(name, "norm.out") && tensor.same_bits(vectors))
        norm(e, path_of(name), stream.to(Dtype::f64), vectors.to(Dtype::f64));
    if (!norm_) refuse("only a norm may stand between the last layer and the head", "something else");
  }

  /// Of u [1, T, d].
  double of(const Var& u) const {
    return sum(Var(weight_) * (centred_ ? u - mean(u, {-1}, true) : u)).value().item();
  }
  double constant() const { return constant_; }

 private:
  // The score as a function of "vectors": its gradient and its value at 0. It must be linear.
  void gradient(const Experiment& e, const Asked& asked) {
    Tape tape;
    Var vectors;
    const Intervention leaf(
        {"vectors"}, [&](const std::string&, const Var& x) { return vectors = tape.variable(x.value()); });
    const Var score = total_score(e.model->forward(rows_of(e, asked.text, 1)), asked);
    if (!vectors.defined()) refuse("the model must have vectors below its head", "none");
    const double value = score.value().item();
    weight_ = tape.backward(score).of(vectors).to(Dtype::f64);  // [1, T, d]
    const Intervention none({"vectors"}, replacing({{{"vectors"}, with_zero()}}));
    constant_ = total_score(e.model->forward(rows_of(e, asked.text, 1)), asked).value().item();
    const Tensor product = (Var(weight_) * Var(vectors.value().to(Dtype::f64))).value();
    const double linear = constant_ + sum(product).value().item();
    if (!close(linear, value))
      refuse("the logits must be linear in the vectors below the head (no pooler, softcap or copying)",
             fmt::format("{:.4g} for {:.4g}", linear, value));
  }

  // vectors = gain (stream - mean) scale + bias, of which an RMS norm has no mean and no bias.
  void norm(const Experiment& e, const std::string& path, const Var& stream, const Var& vectors) {
    const Tensor gain = tensor_named(path + ".weight", e.parameters->named()),
                 bias = tensor_named(path + ".bias", e.parameters->named());
    if (!gain.defined()) return;
    norm_ = true, centred_ = bias.defined();
    const Var g = gain.to(Dtype::f64), b = centred_ ? bias.to(Dtype::f64) : Tensor::scalar(0.0, Dtype::f64);
    const Var v = g * (centred_ ? stream - mean(stream, {-1}, true) : stream);
    const Var scale = sum(v * (vectors - b), {-1}, true) / sum(square(v), {-1}, true);
    constant_ += sum(Var(weight_) * b).value().item();
    weight_ = (Var(weight_) * g * scale).value();
  }

  Tensor weight_;  // [1, T, d]
  double constant_ = 0;
  bool norm_ = false, centred_ = false;
};

// What each head adds to the output `out` of an attention layer [1, T, d]; at the end what is added without
// any: the bias. One pass, whose row h keeps head h only. Empty if the output is no sum of the heads'.
std::vector<Tensor> head_outputs(const Experiment& e, const Asked& asked, const std::string& path,
                                 const Tensor& out, Index H) {
  const std::string heads = path + ".heads", name = path + ".out";
  const Tensor own = to_tensor(xt::eye<int>({std::size_t(H) + 1, std::size_t(H)})).reshape({H + 1, 1, H, 1});
  const Intervention one({"heads"}, [&](const std::string& passing, const Var& x) {
    return passing == heads ? where(own, x, Tensor::scalar(0.0, x.dtype())) : x;
  });
  const Capture capture({"out"});
  e.model->forward(rows_of(e, asked.text, H + 1));
  const Tensor all = capture.find(name)->to(Dtype::f64);
  const Var none = all.rows(H, 1);
  std::vector<Tensor> result;
  Var sum = none;
  for (Index h = 0; h < H; h++) {
    result.push_back((Var(all.rows(h, 1)) - none).value());
    sum = sum + Var(result.back());
  }
  result.push_back(none.value());
  if (!same(sum, out.to(Dtype::f64))) result.clear();
  return result;
}

}  // namespace

double DirectAttribution::sum() const {
  double sum = constant;
  for (const LogitPart& part : parts) sum += part.value;
  return sum;
}

DirectAttribution direct_attribution(const Experiment& e, const Asked& asked) {
  const Activations all = activations_of(e, asked.text, {"in", "residual", "out", "heads", "vectors"});
  std::vector<std::string> points = stream_points(all);
  drop_if(points, of_source);
  if (points.size() < 2 || !ends_with(points[0], ".in"))
    refuse("the model must have layers with a residual stream",
           fmt::format("a '{}'", e.config.section("model").type(Model::kDefault)));
  const Readout readout(e, asked, all, points.back());
  DirectAttribution result;
  result.constant = readout.constant();
  Tensor before = find_activation(all, points[0])->to(Dtype::f64);
  result.parts.push_back({"input", -1, readout.of(before)});
  for (std::size_t i = 1; i < points.size(); i++) {
    const std::string path = path_of(points[i]);
    const Tensor after = find_activation(all, points[i])->to(Dtype::f64);
    if (after.shape() != before.shape())
      refuse("all layers must have one width", fmt::format("{} after {}", after.shape(), before.shape()));
    const Tensor* written = find_activation(all, path + ".out");
    const Var added = Var(after) - Var(before);
    if (!adds(e, all, path) || (ends_with(points[i], ".residual") && !same(added, written->to(Dtype::f64))))
      refuse("each layer must add to the residual stream (norm.place = \"pre\", no residual_scalars)",
             "another stream after " + path);
    const Tensor* heads = find_activation(all, path + ".heads");
    const std::vector<Tensor> own =
        heads ? head_outputs(e, asked, path, *written, heads->dim(2)) : std::vector<Tensor>();
    double rest = readout.of(added.value());
    for (std::size_t h = 0; h + 1 < own.size(); h++) {
      result.parts.push_back({path, Index(h), readout.of(own[h])});
      rest -= result.parts.back().value;
    }
    result.parts.push_back({path, -1, rest});
    before = after;
  }
  if (!close(result.sum(), asked.score()))
    refuse("the logit must be the sum of what the layers add (no residual_scalars)",
           fmt::format("{:.4g} for {:.4g}", result.sum(), asked.score()));
  return result;
}

// ---- integrated gradients

double IntegratedGradients::sum() const {
  return std::accumulate(words.begin(), words.end(), 0.0) +
         std::accumulate(source.begin(), source.end(), 0.0);
}

double IntegratedGradients::error() const {
  const double change = whole - baseline;
  return std::abs(sum() - change) / std::max(std::abs(change), 1e-12);
}

// Adds to `result` the weighted gradients at the points `alphas` of the way.
static void add_gradients(const Experiment& e, const Asked& asked, const std::vector<double>& alphas,
                          const std::vector<double>& weights, IntegratedGradients& result) {
  const auto n = Index(alphas.size());
  Tape tape;
  std::map<std::string, std::pair<Var, Tensor>> leaves;
  const Intervention scaled({"static", "source"}, [&](const std::string& name, const Var& x) {
    const Tensor factor = Tensor::from<double>({n, 1, 1}, alphas).to(x.dtype());
    const Var leaf = tape.variable((Var(x.value()) * Var(factor)).value());
    leaves[name] = {leaf, x.value()};
    return leaf;
  });
  const Var score = total_score(e.model->forward(rows_of(e, asked.text, n)), asked);
  if (leaves.empty()) refuse("the model must show its word vectors", "none");
  const Gradients g = tape.backward(score);
  for (const auto& [name, leaf] : leaves) {
    const Tensor products =
        qkv::sum(Var(g.of(leaf.first).to(Dtype::f64)) * Var(leaf.second.to(Dtype::f64)), {2})
            .value();  // [n, T]
    std::vector<double>& words = name == "source" ? result.source : result.words;
    const Index T = products.dim(1);
    words.resize(std::size_t(T));
    for (Index i = 0; i < n * T; i++) at(words, i % T) += at(weights, i / T) * products.at(i);
  }
}

IntegratedGradients integrated_gradients(const Experiment& e, const Asked& asked, Index steps) {
  constexpr Index kTogether = 16;
  double baseline = 0;
  {
    const Intervention none({"static", "source"},
                            replacing({{{"static"}, with_zero()}, {{"source"}, with_zero()}}));
    const Tensor logits = finite_forward(*e.model, rows_of(e, asked.text, 1));
    baseline = asked.score(answers_at(logits, asked.position).value(), 0);
  }
  for (Index most = 16 * steps;; steps *= 2) {
    IntegratedGradients result;
    result.whole = asked.score(), result.baseline = baseline, result.steps = steps;
    for (Index begin = 0; begin < steps; begin += kTogether) {
      std::vector<double> alphas, weights;  // alpha = u^3: norms make the first part of the way the steepest
      for (Index k = begin; k < std::min(steps, begin + kTogether); k++) {
        const double u = (double(k) + 0.5) / double(steps);
        alphas.push_back(u * u * u);
        weights.push_back(3 * u * u / double(steps));
      }
      add_gradients(e, asked, alphas, weights, result);
    }
    if (result.error() < 0.01 || 2 * steps > most) return result;
  }
}

}  // namespace qkv
