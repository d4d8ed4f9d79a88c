#include "autograd/watch.h"
#include "base/at.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace qkv {

// f(position, value) for every element.
template <class F>
static void each_value(const Tensor& tensor, F f) {
  dispatch_all(tensor.dtype(), [&](auto t) {
    const auto* data = tensor.data<decltype(t)>();
    for (Index i = 0; i < tensor.size(); i++) f(i, double(data[i]));
  });
}

ValueRange range_of(const Tensor& tensor) {
  ValueRange range;
  if (!tensor.defined() || tensor.is_symbolic()) return range;
  range.defined = range.only_negative_infinity = true;
  range.shape = tensor.shape();
  range.size = tensor.size();
  bool first = true;
  each_value(tensor, [&](Index, double v) {
    if (!std::isfinite(v)) {
      range.nonfinite++;
      range.only_negative_infinity = range.only_negative_infinity && v < 0;
      return;
    }
    range.low = first ? v : std::min(range.low, v);
    range.high = first ? v : std::max(range.high, v);
    first = false;
  });
  range.only_negative_infinity = range.only_negative_infinity && range.nonfinite > 0;
  return range;
}

std::string to_string(const ValueRange& range) {
  if (!range.defined) return "without value";
  std::string text = fmt::format("{}", range.shape);
  if (range.nonfinite < range.size) text += fmt::format(": {:.4g} .. {:.4g}", range.low, range.high);
  if (range.nonfinite > 0) text += fmt::format(", {} of {} not finite", range.nonfinite, range.size);
  return text;
}

std::pair<std::string, std::string> Watch::user_of(int slot) const {
  for (auto& [node, seen] : recorded_)
    if (std::count(seen.slots.begin(), seen.slots.end(), slot)) return {seen.op->name, seen.layer};
  return {};
}

// The parameters of the op, else of the ops before it, nearest first.
std::vector<int> Watch::slots_before(int node) const {
  std::set<int> level{node};
  while (!level.empty()) {
    std::set<int> found, next;
    for (int n : level) {
      const auto seen = recorded_.find(n);
      if (seen == recorded_.end()) continue;
      for (std::size_t i = 0; i < seen->second.nodes.size(); i++) {
        if (seen->second.slots[i] >= 0)
          found.insert(seen->second.slots[i]);
        else if (seen->second.nodes[i] >= 0)
          next.insert(seen->second.nodes[i]);
      }
    }
    if (!found.empty()) return {found.begin(), found.end()};
    level = std::move(next);
  }
  return {};
}

Watch::Finding Watch::describe(int node, const Tensor& bad) const {
  const Recorded& seen = recorded_.at(node);
  Finding finding;
  finding.op = seen.op->name;
  finding.layer = seen.layer;
  finding.bad = range_of(bad);
  finding.inputs = seen.inputs;
  finding.slots = slots_before(node);
  each_value(bad, [&](Index i, double v) {
    if (std::isfinite(v)) return;
    if (finding.positions.empty()) finding.value = v;
    finding.positions.push_back(i);
  });
  return finding;
}

void Watch::forward(const Op& op, int node, const std::vector<Operand>& inputs, const Tensor& result) {
  if (finding_) return;
  Recorded seen{&op, LayerPath::current() ? *LayerPath::current() : "", {}, {}, {}};
  bool masked = false;
  for (const Operand& input : inputs) {
    seen.inputs.push_back(range_of(*input.value));
    seen.nodes.push_back(input.node);
    seen.slots.push_back(input.slot);
    masked = masked || seen.inputs.back().only_negative_infinity;
  }
  recorded_[node] = std::move(seen);
  const ValueRange range = range_of(result);
  if (range.nonfinite > 0 && !(masked && range.only_negative_infinity)) finding_ = describe(node, result);
}

void Watch::backward(int node, int input, const Tensor& upstream, const Tensor& gradient) {
  if (finding_ || !recorded_.count(node) || range_of(gradient).nonfinite == 0) return;
  finding_ = describe(node, gradient);
  finding_->backward = true;
  finding_->input = input;
  finding_->upstream = range_of(upstream);
  const int slot = at(recorded_.at(node).slots, input);
  if (slot >= 0) finding_->slots = {slot};
}

}  // namespace qkv
