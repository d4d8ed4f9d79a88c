// Stack: the layers between embedding and head, shared by all transformer models.
#pragma once
#include "qkv/nn/block.h"

namespace qkv {

/// Far more than anybody trains: a wrong number is refused before a model of that size is built.
constexpr Index kMaxLayers = 1000;

/// The keys of [model] that describe the layers.
struct StackConfig {
  Index n_layer = 1, d_model = 32;
  bool embed_norm = false;
  BlockConfig block;
  template <class F>
  void fields(F& f) {
    f("n_layer", n_layer, "number of blocks", rule::between(0, kMaxLayers));
    f("d_model", d_model, "width of the model; 0 = the vocabulary size, for one-hot words",
      rule::non_negative);
    f("embed_norm", embed_norm, "norm of what the first layer reads, the sum of the embeddings (BERT)");
    block.fields(f);
  }
};

/// What follows the embeddings: their norm with `embed_norm`, dropout, and the layers that the table `model`
/// describes: the explicit list [[model.layers]], each entry with its own keys and nothing added; else
/// n_layer equal blocks, with a norm at the end when they are pre-norm.
struct Stack {
  Stack(const Scope& s, const Section& model, StackConfig config);
  Var operator()(const Var& x, const Context& context) const;  // [B, T, d] -> [B, T, out_width]
  Index out_width() const { return width; }
  bool continues() const;  ///< every layer goes on from a cache

  std::vector<std::unique_ptr<Layer>> layers;
  std::vector<std::string> paths;  ///< of the layers, for error messages
  std::optional<Norm> embed_norm, norm;
  double dropout;  ///< of what the first layer reads
  Index width;
};

}  // namespace qkv
