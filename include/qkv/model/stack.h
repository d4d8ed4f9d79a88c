// Stack: the layers between embedding and head, shared by all transformer models.
#pragma once
#include "qkv/nn/block.h"

namespace qkv {

/// Far more than anybody trains: a wrong number is refused before a model of that size is built.
constexpr Index kMaxLayers = 1000;

/// The keys of [model] that describe the layers.
struct StackConfig {
  Index n_layer = 1, d_model = 32;
  bool embed_norm = false, residual_scalars = false;
  Index share_layers = 1, value_embeddings = 0;
  Index vocab_size = 0;  // of Context::ids, for value embeddings; set by the model
  BlockConfig block;
  void fields(FieldCollector& f) {
    f("n_layer", n_layer, "number of blocks", rule::between(0, kMaxLayers));
    f("d_model", d_model, "width of the model; 0 = the vocabulary size, for one-hot words",
      rule::non_negative);
    f("embed_norm", embed_norm, "norm of what the first layer reads, the sum of the embeddings (BERT)");
    f("share_layers", share_layers,
      "blocks in a row that have the same parameters (ALBERT, Lan et al. 2020); n_layer: one block for all "
      "(Universal Transformer, Dehghani et al. 2019)",
      rule::between(1, kMaxLayers));
    f("value_embeddings", value_embeddings,
      "every Nth block, the last included, adds a learned vector per token to its values, with two learned "
      "scalars (modded-nanogpt, Jordan et al. 2024); 0 = none",
      rule::between(0, kMaxLayers));
    f("residual_scalars", residual_scalars,
      "before each layer x becomes a x + b x0 of the first layer's input x0, with learned a and b "
      "(modded-nanogpt, Jordan et al. 2024)");
    block.fields(f);
  }
};

/// What follows the embeddings: their norm with `embed_norm`, dropout, and the layers that the table `model`
/// describes: the explicit list [[model.layers]], each entry with its own keys and nothing added; else
/// n_layer equal blocks, with a norm at the end when they are pre-norm. With `share_layers`, the parameters
/// of a group of blocks have the names of its first; paths, caches and captures tell the blocks apart.
struct Stack {
  Stack(const Scope& s, const Section& model, StackConfig config);
  Var operator()(const Var& x, const Context& context) const;  // [B, T, d] -> [B, T, out_width]
  Index out_width() const { return width; }
  bool continues() const;  ///< every layer goes on from a cache

  std::vector<std::unique_ptr<Layer>> layers;
  std::vector<std::string> paths;   ///< of the layers, for error messages
  std::vector<Parameter> residual;  ///< of each layer, with residual_scalars: a, b
  /// Of each layer, undefined where it has none: E [V, H_kv D], and the lambdas of Context.
  std::vector<Parameter> value_embed, value_lambdas;
  std::optional<Norm> embed_norm, norm;
  double dropout;  ///< of what the first layer reads
  Index width;
};

}  // namespace qkv
