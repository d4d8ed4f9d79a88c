// What a head would do with words as they stand in the vocabulary (Elhage et al. 2021, "A mathematical
// framework for transformer circuits"): QK says which word looks for which, OV what a word that is looked at
// adds to the answer.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "look.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/nn/attention.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/norm.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/linalg.h"

namespace qkv {
namespace {

struct Pair {
  std::string from, to;
  double score;
};

// A matrix between words through the narrow head, and what it is like.
struct Circuit {
  Tensor singular;          // [D] falling
  std::vector<Pair> pairs;  // the largest entries
};

struct HeadCircuits {
  std::string layer;
  Index head;
  Circuit qk, ov;
};

class Weights {
 public:
  explicit Weights(const Experiment& e) : named_(e.parameters->named()) {}
  /// [.., ..] (f64), or undefined.
  Tensor find(const std::string& name) const {
    for (const NamedTensor& one : named_)
      if (one.name == name) return one.tensor.to(Dtype::f64);
    return {};
  }
  std::vector<std::string> layers() const {
    std::vector<std::string> result;
    for (const NamedTensor& one : named_)
      if (ends_with(one.name, ".W_Q") && find(one.name.substr(0, one.name.size() - 1) + "O").defined())
        result.push_back(one.name.substr(0, one.name.size() - 4));
    return result;
  }

 private:
  std::vector<NamedTensor> named_;
};

// left [R, d] middle [d, d] right [C, d]^T: its `top` largest entries; rows and columns have names.
std::vector<Pair> largest(const Tensor& left, const Tensor& middle, const Tensor& right,
                          const std::vector<std::string>& rows, const std::vector<std::string>& columns,
                          std::size_t top) {
  const Tensor all = matmul(matmul(left, middle), transpose(right)).value();  // [R, C]
  const Index C = all.dim(1);
  const double* values = all.data<double>();
  std::vector<Index> order(static_cast<std::size_t>(all.size()));
  std::iota(order.begin(), order.end(), Index{0});
  const std::size_t n = std::min(top, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                    [&](Index a, Index b) { return values[a] != values[b] ? values[a] > values[b] : a < b; });
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < n; i++)
    pairs.push_back({rows[static_cast<std::size_t>(order[i] / C)],
                     columns[static_cast<std::size_t>(order[i] % C)], values[order[i]]});
  return pairs;
}

struct InspectCircuits : Inspection {
  void setup(Options& options) override {
    options.add("--layer", &layer, "only this layer, counted from 0");
    options.add("--head", &head, "only this head, counted from 0");
    options.add("--top", &top, "how many pairs").range = {1, 1000};
    options.add("--words", &words, "only the first words of the vocabulary, the most frequent").range = {
        1, 5000};
  }

  int run(const Subject& subject) override {
    const Experiment e = load(subject);
    const std::vector<HeadCircuits> found = circuits(e);
    Json list = Json::array();
    for (const HeadCircuits& one : found) {
      if (subject.json)
        list.push_back(
            {{"layer", one.layer}, {"head", one.head}, {"qk", json_of(one.qk)}, {"ov", json_of(one.ov)}});
      else
        console().print("{}", text_of(one));
    }
    if (subject.json) console().print("{}\n", dump_json({{"heads", list}}));
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/planted-cues circuits --head 0"; }

  std::vector<HeadCircuits> circuits(const Experiment& e) const {
    const Weights weights(e);
    std::vector<std::string> names = e.task->vocabulary();
    const std::vector<std::string> layers = weights.layers();
    if (layers.empty()) fail(Fault::usage, "inspect circuits: the model must learn W_Q, W_K, W_V; got none");
    if (layer >= static_cast<int>(layers.size()))
      fail(Fault::usage, "inspect: --layer must count attention layers, from 0 to {} ({}); got {}",
           layers.size() - 1, join(layers, ", "), layer);
    Tensor embed = weights.find("embed.weight");  // [V, d]
    if (!embed.defined()) embed = identity(e.task->shape().vocab_size);
    const Index V = std::min<Index>(embed.dim(0), words);
    if (static_cast<Index>(names.size()) < V)
      fail(Fault::usage,
           "inspect circuits: each of {} tokens must have a text; got {} (override Task::vocabulary, "
           "qkv/task/task.h)",
           V, names.size());
    embed = embed.rows(0, V);
    names.resize(static_cast<std::size_t>(V));
    Tensor out = weights.find("head.weight");  // [V or classes, d]
    std::vector<std::string> outs = e.task->classes();
    if (!out.defined()) out = weights.find("embed.weight");
    if (outs.empty()) out = out.rows(0, V), outs = names;
    std::vector<HeadCircuits> result;
    for (std::size_t l = 0; l < layers.size(); l++)
      if (layer < 0 || static_cast<std::size_t>(layer) == l)
        add_layer(e, weights, layers[l], embed, names, out, outs, result);
    return result;
  }

  void add_layer(const Experiment& e, const Weights& weights, const std::string& path, Tensor x,
                 const std::vector<std::string>& names, const Tensor& out,
                 const std::vector<std::string>& outs, std::vector<HeadCircuits>& result) const {
    const Tensor Q = weights.find(path + ".W_Q"), K = weights.find(path + ".W_K"),
                 V = weights.find(path + ".W_V"), O = weights.find(path + ".W_O");
    if (x.dim(1) != Q.dim(1) || out.dim(1) != O.dim(0))
      fail(Fault::usage, "inspect circuits: all layers must be as wide as the embedding; got {} and {}",
           Q.shape(), x.shape());
    x = normed(weights, path, x);
    const Index D = head_width(e, path, Q.dim(0)), H = Q.dim(0) / D, group = H / (K.dim(0) / D);
    if (head >= H) fail(Fault::usage, "inspect: --head must be in [0, {}]; got {}", H - 1, head);
    for (Index h = 0; h < H; h++) {
      if (head >= 0 && head != h) continue;
      const Tensor q = Q.rows(h * D, D), k = K.rows(h / group * D, D),
                   v = V.rows(h / group * D, D);                 // [D, d]
      const Tensor o = slice(O, 1, h * D, (h + 1) * D).value();  // [d, D]
      const double scale = 1 / std::sqrt(static_cast<double>(D));
      Tensor qk = matmul(transpose(q), k).value();  // [d, d]
      for (Index i = 0; i < qk.size(); i++) qk.data<double>()[i] *= scale;
      const Tensor ov = matmul(transpose(v), transpose(o)).value();  // [d, d]
      HeadCircuits one{path, h, {}, {}};
      one.qk = {svd(qk).s.rows(0, std::min(D, qk.dim(0))), largest(x, qk, x, names, names, top)};
      one.ov = {svd(ov).s.rows(0, std::min(D, ov.dim(0))), largest(x, ov, out, names, outs, top)};
      result.push_back(std::move(one));
    }
  }

  // Words as a pre-norm block sees them: what norm1 makes of them.
  static Tensor normed(const Weights& weights, const std::string& path, const Tensor& x) {
    const std::string norm = path.substr(0, path.rfind('.')) + ".norm1.";
    const Tensor weight = weights.find(norm + "weight"), bias = weights.find(norm + "bias");
    if (!weight.defined()) return x;
    return bias.defined() ? layer_norm(x, weight, bias, 1e-5).value() : rms_norm(x, weight, 1e-5).value();
  }

  static Tensor identity(Index n) {
    Tensor x = Tensor::zeros({n, n}, Dtype::f64);
    for (Index i = 0; i < n; i++) x.data<double>()[i * n + i] = 1;
    return x;
  }

  // From [model.attention], or the table of the layer.
  static Index head_width(const Experiment& e, const std::string& path, Index rows) {
    const Section model = e.config.section("model");
    Section table = model.section("attention");
    const std::vector<Section> listed = model.sections("layers");
    const std::vector<std::string> parts = qkv::split(path, '.');
    for (std::size_t i = 0; i + 1 < parts.size(); i++)
      if (parts[i] == "layers" && std::stoul(parts[i + 1]) < listed.size()) {
        table = listed[std::stoul(parts[i + 1])];
        if (table.has("attention")) table = table.section("attention");
      }
    return rows / table.get("n_head", AttentionConfig().n_head);
  }

  static Json json_of(const Circuit& c) {
    Json pairs = Json::array();
    for (const Pair& pair : c.pairs)
      pairs.push_back(
          {{"from", pair.from}, {"to", pair.to}, {"score", json_number(static_cast<float>(pair.score))}});
    return {{"singular_values", json_numbers(c.singular.to_vector())}, {"pairs", pairs}};
  }

  static std::string text_of(const HeadCircuits& one) {
    std::string text = fmt::format("{}, head {}\n", one.layer, one.head);
    text += "  QK  a word looks for another       singular values " +
            numbers(one.qk.singular.to_vector(), 6) + "\n";
    for (const Pair& p : one.qk.pairs)
      text += fmt::format("      {:>8.2f}  {} -> {}\n", p.score, shown(p.from), shown(p.to));
    text += "  OV  a word that is found speaks for  singular values " +
            numbers(one.ov.singular.to_vector(), 6) + "\n";
    for (const Pair& p : one.ov.pairs)
      text += fmt::format("      {:>8.2f}  {} -> {}\n", p.score, shown(p.from), shown(p.to));
    return text + "\n";
  }

  int layer = -1, head = -1;
  std::size_t top = 8;
  Index words = 1000;
};

QKV_REGISTER(Inspection, "circuits", InspectCircuits,
             "QK and OV of each head over the vocabulary: top pairs, singular values");

}  // namespace
}  // namespace qkv
