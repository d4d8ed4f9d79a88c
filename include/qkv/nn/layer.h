// Layer: a block that a config may name in [[model.layers]]. Every other layer is a plain struct.
#pragma once
#include <memory>

#include "qkv/base/config.h"
#include "qkv/base/registry.h"
#include "qkv/nn/kv_cache.h"
#include "qkv/nn/parameter.h"
#include "qkv/ops/attention.h"
#include "qkv/ops/rotary.h"

namespace qkv {

/// What a layer may know beside its input.
struct Context {
  AttentionMask mask;              ///< which tokens may be looked at, and ALiBi
  RotaryTable rotary;              ///< RoPE: angles of the positions of x; undefined = none
  Var memory;                      ///< [B, S, d]: the encoder's output, for cross-attention
  Tensor memory_keep;              ///< [B, S] (i32): 1 = a word of the memory, 0 = padding; undefined = all
  KeyValueCache* cache = nullptr;  ///< decoding: x continues what the cache holds
};

/// Maps [B, T, width] to [B, T, out_width()].
struct Layer {
  /// `width` is the width of the input; `config` the layer's own table.
  using Factory = std::unique_ptr<Layer>(const Scope& scope, const Section& config, Index width);
  virtual ~Layer() = default;
  virtual Var forward(const Var& x, const Context& context) const = 0;
  virtual Index out_width() const = 0;
  /// True if `forward` goes on from context.cache where there is one: it then gets the new tokens alone.
  /// Layers that look at each token by itself may say so, too. Where a layer of a model does not, generation
  /// computes the whole text again for each token: slower, and right.
  virtual bool continues() const { return false; }
};

QKV_DECLARE_REGISTRY(Layer);

}  // namespace qkv
