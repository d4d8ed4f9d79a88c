#include "qkv/model/stack.h"

#include "qkv/base/make.h"

namespace qkv {

Stack::Stack(const Scope& s, const Section& model, const StackConfig& config) : width(config.d_model) {
  auto add = [&](std::unique_ptr<Layer> layer, const Scope& scope) {
    width = layer->out_width();
    layers.push_back(std::move(layer));
    paths.push_back(scope.path());
  };
  const std::vector<Section> listed = model.sections("layers");
  for (std::size_t i = 0; i < listed.size(); i++) {
    const Scope scope = s / "layers" / static_cast<int>(i);
    add(make<Layer>(listed[i], "block", scope, listed[i], width), scope);
  }
  if (listed.empty())
    for (Index i = 0; i < config.n_layer; i++) {
      const Scope scope = s / "layers" / static_cast<int>(i);
      add(std::make_unique<Block>(scope, config.block, width), scope);
    }
  if (config.block.norm.place == "pre" && !layers.empty()) norm.emplace(s / "norm", config.block.norm, width);
}

Var Stack::operator()(const Var& x, const Context& context) const {
  Var h = x;
  for (std::size_t i = 0; i < layers.size(); i++) {
    LayerPath here(paths[i]);
    h = layers[i]->forward(h, context);
  }
  return norm ? (*norm)(h) : h;
}

}  // namespace qkv
