#include "inspect/circuits.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "qkv/base/text.h"
#include "qkv/nn/attention.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/norm.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"
#include "tensor/linalg.h"

namespace qkv {
namespace {

using Weights = std::vector<NamedTensor>;

// [.., ..] (f64), or undefined.
Tensor weight_of(const Weights& weights, const std::string& name) {
  const Tensor found = tensor_named(name, weights);
  return found.defined() ? found.to(Dtype::f64) : found;
}

// Vectors of words, and their names.
struct Words {
  Tensor vectors;  // [words, d]
  std::vector<std::string> names;
};

// middle [d, d] between words: (from middle + own) to^T, and its `top` largest entries. own [words, d] is
// what each word adds by itself, if defined.
Circuit circuit(const Words& from, const Tensor& middle, const Words& to, Index width, std::size_t top,
                const Tensor& own = {}) {
  Var moved = matmul(from.vectors, middle);
  if (own.defined()) moved = moved + own;
  const Tensor all = matmul(moved, transpose(to.vectors)).value();
  const Index C = all.dim(1);
  const double* values = all.data<double>();
  std::vector<Index> every(std::size_t(all.size())), order(std::min(top, every.size()));
  std::iota(every.begin(), every.end(), Index{0});
  std::partial_sort_copy(every.begin(), every.end(), order.begin(), order.end(), [&](Index a, Index b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
  Circuit result{singular_values(middle).rows(0, std::min(width, middle.dim(0))).to_vector(), {}};
  for (Index at : order)
    result.pairs.push_back({from.names[std::size_t(at / C)], to.names[std::size_t(at % C)], values[at]});
  return result;
}

// Words as a pre-norm block sees them: what norm1 makes of them.
Tensor normed(const Weights& weights, const std::string& path, const Tensor& x) {
  const std::string norm = path.substr(0, path.rfind('.')) + ".norm1.";
  const Tensor weight = weight_of(weights, norm + "weight"), bias = weight_of(weights, norm + "bias");
  if (!weight.defined()) return x;
  return bias.defined() ? layer_norm(x, weight, bias, 1e-5).value() : rms_norm(x, weight, 1e-5).value();
}

// From [model.attention], or the table of the layer.
Index head_width(const Experiment& e, const std::string& path, Index rows) {
  const Section model = e.config.section("model");
  Section table = model.section("attention");
  const std::vector<Section> listed = model.sections("layers");
  const std::vector<std::string> parts = split(path, '.');
  for (std::size_t i = 0; i + 1 < parts.size(); i++)
    if (parts[i] == "layers" && std::stoul(parts[i + 1]) < listed.size()) {
      table = listed[std::stoul(parts[i + 1])];
      if (table.has("attention")) table = table.section("attention");
    }
  return rows / table.given<Index>("n_head").value_or(AttentionConfig().n_head);
}

void add_layer(const Experiment& e, const Weights& weights, const std::string& path, Words words,
               const Words& answers, const CircuitChoice& choice, std::vector<HeadCircuits>& result) {
  const Tensor Q = weight_of(weights, path + ".W_Q"), K = weight_of(weights, path + ".W_K"),
               V = weight_of(weights, path + ".W_V"), O = weight_of(weights, path + ".W_O");
  if (words.vectors.dim(1) != Q.dim(1) || answers.vectors.dim(1) != O.dim(0))
    fail(Fault::usage, "inspect circuits: all layers must be as wide as the embedding; got {} and {}",
         Q.shape(), words.vectors.shape());
  words.vectors = normed(weights, path, words.vectors);
  // Value embeddings: a word's values are a W_V x + b E.
  const std::string embed = replace_all(path.substr(0, path.rfind('.')), "layers.", "value_embed.");
  const Tensor E = weight_of(weights, embed + ".weight"), ab = weight_of(weights, embed + ".lambdas");
  const Index D = head_width(e, path, Q.dim(0)), H = Q.dim(0) / D, group = H / (K.dim(0) / D);
  if (choice.head >= H) fail(Fault::usage, "inspect: --head must be in [0, {}]; got {}", H - 1, choice.head);
  for (Index h = 0; h < H; h++) {
    if (choice.head >= 0 && choice.head != h) continue;
    const Tensor q = Q.rows(h * D, D), k = K.rows(h / group * D, D), v = V.rows(h / group * D, D);  // [D, d]
    const Tensor o = slice(O, 1, h * D, (h + 1) * D).value();                                       // [d, D]
    const Tensor qk = mul(matmul(transpose(q), k), 1 / std::sqrt(double(D))).value();
    Tensor ov = matmul(transpose(v), transpose(o)).value(), own;  // [d, d], as qk; [words, d]
    if (E.defined()) {
      const Var rows = slice(E.rows(0, words.vectors.dim(0)), 1, h / group * D, (h / group + 1) * D);
      ov = mul(ov, ab.at(0)).value(), own = mul(matmul(rows, transpose(o)), ab.at(1)).value();
    }
    result.push_back({path, h, circuit(words, qk, words, D, choice.pairs),
                      circuit(words, ov, answers, D, choice.pairs, own)});
  }
}

}  // namespace

std::vector<HeadCircuits> head_circuits(const Experiment& e, const CircuitChoice& choice) {
  const Weights weights = e.parameters->named();
  std::vector<std::string> layers;
  for (const NamedTensor& one : weights)
    if (ends_with(one.name, ".W_Q"))
      if (const std::string path = one.name.substr(0, one.name.size() - 4);
          tensor_named(path + ".W_O", weights).defined())
        layers.push_back(path);
  if (layers.empty()) fail(Fault::usage, "inspect circuits: the model must learn W_Q, W_K, W_V; got none");
  if (choice.layer >= int(layers.size()))
    fail(Fault::usage, "inspect: --layer must count attention layers, from 0 to {} ({}); got {}",
         layers.size() - 1, join(layers, ", "), choice.layer);
  Words words{weight_of(weights, "embed.weight"), e.task->vocabulary()};
  if (!words.vectors.defined())
    words.vectors = to_tensor(xt::eye<double>(std::size_t(e.task->shape().vocab_size)));
  const Index V = std::min<Index>(words.vectors.dim(0), choice.words);
  if (Index(words.names.size()) < V)
    fail(Fault::usage,
         "inspect circuits: each of {} tokens must have a text; got {} (override Task::vocabulary, "
         "qkv/task/task.h)",
         V, words.names.size());
  words.vectors = words.vectors.rows(0, V);
  words.names.resize(std::size_t(V));
  Words answers{weight_of(weights, "head.weight"), e.task->classes()};  // [V or classes, d]
  if (!answers.vectors.defined()) answers.vectors = weight_of(weights, "embed.weight");
  if (answers.names.empty()) answers = {answers.vectors.rows(0, V), words.names};
  std::vector<HeadCircuits> result;
  for (std::size_t l = 0; l < layers.size(); l++)
    if (choice.layer < 0 || std::size_t(choice.layer) == l)
      add_layer(e, weights, layers[l], words, answers, choice, result);
  return result;
}

}  // namespace qkv
