#include "interop/graph.h"

#include <algorithm>

#include "base/at.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

std::string Dim::str() const {
  std::string text;
  for (const Term& term : terms) {
    if (!text.empty()) text += "+";
    if (term.factor != 1) text += fmt::format("{}*", term.factor);
    text += join(term.symbols, "*");
  }
  if (terms.empty()) return fmt::format("{}", constant);
  return constant == 0 ? text : fmt::format("{}{:+}", text, constant);
}

// ---- sizes

namespace {

// What a size may be a multiple of: a symbol, the sum of two, or a product.
std::vector<std::vector<Dim::Term>> candidates(const Sizes& symbols) {
  std::vector<std::vector<Dim::Term>> single, sums, products;
  for (std::size_t i = 0; i < symbols.size(); i++) {
    const std::string& s = symbols[i].first;
    single.push_back({{1, {s}}});
    for (std::size_t j = i + 1; j < symbols.size(); j++) {
      const std::string& t = symbols[j].first;
      sums.push_back({{1, {s}}, {1, {t}}});
      products.push_back({{1, {s, t}}});
    }
  }
  for (auto* more : {&sums, &products}) single.insert(single.end(), more->begin(), more->end());
  return single;
}

Index value_of(const std::vector<Dim::Term>& terms, const Sizes& sizes) {
  Index sum = 0;
  for (const Dim::Term& term : terms) {
    Index product = term.factor;
    for (const std::string& symbol : term.symbols)
      for (const auto& [name, value] : sizes)
        if (name == symbol) product *= value;
    sum += product;
  }
  return sum;
}

}  // namespace

std::optional<Dim> size_from(const std::vector<Index>& values, const std::vector<Sizes>& batches) {
  if (std::count(values.begin(), values.end(), values[0]) == std::ptrdiff_t(values.size()))
    return Dim(values[0]);
  for (const bool plain : {true, false})  // k m, then k m + c
    for (std::vector<Dim::Term>& terms : candidates(batches[0])) {
      std::vector<Index> m;
      for (const Sizes& sizes : batches) m.push_back(value_of(terms, sizes));
      if (m[0] == m[1] || (values[0] - values[1]) % (m[0] - m[1]) != 0) continue;
      const Index k = (values[0] - values[1]) / (m[0] - m[1]), c = values[0] - k * m[0];
      bool fits = k > 0 && (!plain || c == 0);
      for (std::size_t i = 0; i < m.size(); i++) fits = fits && values[i] == k * m[i] + c;
      if (!fits) continue;
      Dim dim(c);
      for (Dim::Term& term : terms) term.factor = k;
      dim.terms = terms;
      return dim;
    }
  return std::nullopt;
}

// ---- one graph from several traces

namespace {

class Unification {
 public:
  Unification(const std::string& name, const std::vector<Traced>& passes) : passes_(passes) {
    graph_.name = name;
    for (const Traced& pass : passes) sizes_.push_back(pass.sizes);
  }

  Graph run() {
    const Trace::Log& first = passes_[0].log;
    for (const Traced& pass : passes_)
      if (pass.log.nodes.size() != first.nodes.size() || pass.log.values.size() != first.values.size())
        differs("", "the ops of a batch must not depend on its size or content");
    graph_.outputs = passes_[0].outputs;
    mark();
    for (int i = 0; i < int(first.values.size()); i++)
      if (wanted_.at(std::size_t(i))) add_value(i);
    for (std::size_t i = 0; i < first.nodes.size(); i++) add_node(i);
    for (Graph::Output& output : graph_.outputs) output.value = moved(output.value);
    return std::move(graph_);
  }

 private:
  [[noreturn]] static void differs(const std::string& where, const std::string& what) {
    fail(Fault::usage, "graph{}: {}, or the model is no graph of fixed ops",
         where.empty() ? "" : ": " + where, what);
  }
  static std::string place(const Trace::Node& node) {
    return fmt::format("op '{}'{}", node.op, node.layer.empty() ? "" : " of " + node.layer);
  }

  // Which values the outputs need.
  void mark() {
    const Trace::Log& first = passes_[0].log;
    wanted_.assign(first.values.size(), false);
    place_.assign(first.values.size(), -1);
    for (const Graph::Output& output : graph_.outputs) wanted_.at(std::size_t(output.value)) = true;
    for (std::size_t i = first.nodes.size(); i-- > 0;) {
      const Trace::Node& node = first.nodes[i];
      if (!needed(node)) continue;
      for (int input : node.inputs)
        if (input >= 0) wanted_.at(std::size_t(input)) = true;
      for (const auto& [name, input] : node.named) wanted_.at(std::size_t(input)) = true;
      for (int output : node.outputs) wanted_.at(std::size_t(output)) = true;
    }
  }
  bool needed(const Trace::Node& node) const {
    return std::any_of(node.outputs.begin(), node.outputs.end(),
                       [&](int output) { return wanted_.at(std::size_t(output)); });
  }
  int moved(int value) const { return value < 0 ? -1 : place_.at(std::size_t(value)); }

  void add_value(int i) {
    const Trace::Value& v = passes_[0].log.values.at(std::size_t(i));
    Graph::Value value{v.kind, v.name, v.tensor.dtype(), {}, {}};
    const bool kept = v.kind == Trace::Kind::parameter || v.kind == Trace::Kind::constant;
    if (kept) value.tensor = v.tensor;
    const std::string where = v.name.empty() ? fmt::format("value {}", i) : v.name;
    for (const Traced& pass : passes_) {
      const Trace::Value& other = pass.log.values.at(std::size_t(i));
      if (other.kind != v.kind || other.name != v.name || other.tensor.rank() != v.tensor.rank())
        differs(where, "the ops of a batch must not depend on its size or content");
      if (kept && !other.tensor.same_bits(v.tensor)) differs(reader_of(i), "it reads what no op gives");
    }
    for (int axis = 0; axis < v.tensor.rank(); axis++)
      value.shape.push_back(size(
          where, [&](const Traced& pass) { return pass.log.values.at(std::size_t(i)).tensor.dim(axis); }));
    std::string& name = value.name;
    const std::size_t number = graph_.values.size();
    if (name.empty())  // constants of all graphs lie in one file
      name = v.kind == Trace::Kind::constant ? fmt::format("{}.constant{}", graph_.name, number)
                                             : fmt::format("v{}", number);
    place_.at(std::size_t(i)) = int(number);
    graph_.values.push_back(std::move(value));
  }

  std::string reader_of(int value) const {
    for (const Trace::Node& node : passes_[0].log.nodes) {
      bool reads = std::count(node.inputs.begin(), node.inputs.end(), value) > 0;
      for (const auto& [name, input] : node.named) reads = reads || input == value;
      if (reads) return place(node);
    }
    return "outputs";
  }

  void add_node(std::size_t i) {
    const Trace::Node& node = passes_[0].log.nodes[i];
    if (!needed(node)) return;
    Graph::Node result{node.op, node.layer, {}, {}, {}, {}};
    for (const Traced& pass : passes_) {
      const Trace::Node& other = pass.log.nodes[i];
      if (other.op != node.op || other.inputs != node.inputs || other.named != node.named ||
          other.outputs != node.outputs || other.attributes.size() != node.attributes.size())
        differs(place(node), "the ops of a batch must not depend on its size or content");
    }
    for (int input : node.inputs) result.inputs.push_back(moved(input));
    for (const auto& [name, input] : node.named) result.named.emplace_back(name, moved(input));
    for (int output : node.outputs) result.outputs.push_back(moved(output));
    for (std::size_t a = 0; a < node.attributes.size(); a++) {
      const auto& [name, value] = node.attributes[a];
      const std::string where = place(node) + ", " + name;
      if (std::holds_alternative<Index>(value)) {
        result.attributes.emplace_back(name, size(where, [&](const Traced& pass) {
                                         return std::get<Index>(pass.log.nodes[i].attributes[a].second);
                                       }));
        continue;
      }
      for (const Traced& pass : passes_)
        if (pass.log.nodes[i].attributes[a].second != value)
          differs(where, "it must not depend on the batch");
      std::visit(
          [&, key = name](const auto& v) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(v)>, Index>)
              result.attributes.emplace_back(key, v);
          },
          value);
    }
    graph_.nodes.push_back(std::move(result));
  }

  template <class F>
  Dim size(const std::string& where, F of) const {
    std::vector<Index> values;
    for (const Traced& pass : passes_) values.push_back(of(pass));
    const std::optional<Dim> dim = size_from(values, sizes_);
    if (!dim) {
      std::vector<std::string> got;
      for (std::size_t i = 0; i < values.size(); i++) {
        std::vector<std::string> of_batch;
        for (const auto& [symbol, size] : sizes_[i]) of_batch.push_back(fmt::format("{} = {}", symbol, size));
        got.push_back(fmt::format("{} for {}", values[i], join(of_batch, " ")));
      }
      differs(where, "a size must follow from those of the batch; got " + join(got, ", "));
    }
    return *dim;
  }

  const std::vector<Traced>& passes_;
  std::vector<Sizes> sizes_;
  std::vector<bool> wanted_;
  std::vector<int> place_;  // of a value of the traces in the graph
  Graph graph_;
};

}  // namespace

Graph graph_of(const std::string& name, const std::vector<Traced>& passes) {
  return Unification(name, passes).run();
}

}  // namespace qkv
