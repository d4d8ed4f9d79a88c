// Block: self-attention and feed-forward, each with residual and norm.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "qkv/nn/attention.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/norm.h"

namespace qkv {

/// The keys of a block.
struct BlockConfig {
  double dropout = 0.0;
  Index memory_width = 0;  // > 0: cross-attention to a memory of this width; set by the model
  AttentionConfig attention;
  std::optional<Section> attention_table;  // of a registered attention.type
  FeedForwardConfig ffn;
  NormConfig norm;
  void fields(FieldCollector& f) {
    f("dropout", dropout, "probability of zeroing an activation while training", rule::dropping);
    f("attention", attention, "self-attention");
    f("ffn", ffn, "feed-forward layer");
    f("norm", norm, "normalisation");
  }
  /// Checks the parts against the width, with the place in `where`, and hands the dropout on to them. Throws
  /// where attention.type names no layer.
  void complete(const Section& where, Index width);
};

/// pre:  x + attn(norm(x)), then x + ffn(norm(x))   (Xiong et al. 2020)
/// post: norm(x + attn(x)), then norm(x + ffn(x))   (Vaswani et al. 2017)
/// [B, T, d] -> [B, T, d]; with d_ff = 0 without the last part. A decoder's block looks at the memory in
/// between, with its own residual and norm. Any registered layer that keeps the width can be the
/// self-attention (attention.type). Needs a completed config.
struct Block : Layer {
  Block(const Scope& s, const BlockConfig& config, Index width);
  Block(const Scope& s, const Section& section, Index width);
  Var forward(const Var& x, const Context& context) const override;
  Index out_width() const override { return width_; }
  bool continues() const override { return attn->continues(); }

  Index width_;
  double dropout;
  bool pre;
  Norm norm1;
  std::unique_ptr<Layer> attn;
  std::optional<Norm> norm_cross;
  std::optional<CrossAttention> cross_attn;
  std::optional<Norm> norm2;
  std::optional<FeedForward> ffn;

 private:
  std::string attn_path_, ffn_path_;
};

}  // namespace qkv
