#include "train/cut_heads.h"

#include <algorithm>

#include "qkv/base/text.h"

namespace qkv {

// Calls f(path, slot of W_O, number of heads) for each attention that has a W_O.
template <class F>
static void each_attention(const ParameterStore& store, F f) {
  store.each_part([&](int, const ParameterStore::Part& queries) {
    if (!ends_with(queries.name, ".W_Q")) return;
    const std::string path = queries.name.substr(0, queries.name.size() - 4);
    store.each_part([&](int slot, const ParameterStore::Part& out) {
      if (out.name == path + ".W_O") f(path, slot, queries.heads);
    });
  });
}

static void zero_columns(Tensor W, Index begin, Index end) {
  const Index rows = W.dim(0), width = W.dim(1);
  dispatch("cut_heads", W.dtype(), [&](auto zero) {
    auto* w = W.data<decltype(zero)>();
    for (Index r = 0; r < rows; r++) std::fill(w + r * width + begin, w + r * width + end, decltype(zero)(0));
  });
}

bool names_head(const std::string& pattern, const std::string& head) {
  if (matches(pattern, head)) return true;
  const std::size_t dot = head.rfind('.');
  const std::string path = head.substr(0, dot);
  const std::string number = starts_with(path, "layers.") ? path.substr(7, path.rfind('.') - 7) : "";
  return all_digits(number) && path == "layers." + number + ".attn" &&
         matches(pattern, number + head.substr(dot));
}

bool names_head(const std::string& pattern, const std::string& path, Index head) {
  return names_head(pattern, fmt::format("{}.{}", path, head));
}

std::optional<std::string> names_no_head(const std::vector<std::string>& patterns,
                                         const std::vector<std::string>& heads) {
  for (const std::string& pattern : patterns)
    if (std::none_of(heads.begin(), heads.end(),
                     [&](const std::string& head) { return names_head(pattern, head); }))
      return pattern;
  return std::nullopt;
}

std::vector<std::string> heads_of(const ParameterStore& store) {
  std::vector<std::string> all;
  each_attention(store, [&](const std::string& path, int, Index heads) {
    for (Index h = 0; h < heads; h++) all.push_back(fmt::format("{}.{}", path, h));
  });
  return all;
}

std::string unknown_head(const ParameterStore& store, const std::vector<std::string>& names) {
  const std::vector<std::string> all = heads_of(store);
  const std::optional<std::string> unknown = names_no_head(names, all);
  if (!unknown) return "";
  return fmt::format("must name heads with a W_O, LAYER.HEAD ({}); got {}",
                     all.empty() ? "there are none" : join(all, ", ", 8), in_quotes(*unknown));
}

CutHeads::CutHeads(ParameterStore& store, const Section& train, const std::vector<std::string>& heads)
    : store_(store) {
  for (const std::string& name : heads)
    each_attention(store, [&](const std::string& path, int slot, Index n) {
      const Index width = store.slot(slot).value.dim(1) / n;
      for (Index h = 0; h < n; h++)
        if (names_head(name, path, h)) columns_.push_back({slot, h * width, (h + 1) * width});
    });
  if (const std::string problem = unknown_head(store, heads); !problem.empty())
    train.report("ablate", problem);
}

void CutHeads::cut() {
  for (const Columns& c : columns_) zero_columns(store_.slot(c.slot).value, c.begin, c.end);
}

void CutHeads::cut(const Gradients& gradients) const {
  for (const Columns& c : columns_)
    if (gradients.has_slot(c.slot)) zero_columns(gradients.of_slot(c.slot), c.begin, c.end);
}

}  // namespace qkv
