// check_layer: tests a layer and reports what is wrong with it.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "qkv/nn/layer.h"

namespace qkv {

/// What a layer is checked with.
struct LayerCheck {
  Index width = 6;          ///< of the input; even, so that heads divide it
  std::string config = {};  ///< the keys of the layer's table as TOML, e.g. "hidden = 8"
  bool masks = true;        ///< false for layers that must see all tokens whatever the mask says
  double tolerance = 1e-6;  ///< of gradients against central differences, relative, f64
  bool memory = false;      ///< true for layers that look at context.memory: it is given one, of `width`
  bool positions = true;    ///< false for layers that know the order of tokens by themselves, or need none
};

/// One sentence per fault, empty for a sound layer. Checked are, in this order and as far as they make sense
/// after what failed: construction and config (keys read, none accepted unread, equal after writing and
/// reading back), shapes over odd sizes and of the symbolic walk, f32 and f64, `out_width`, no change of the
/// input, equal bits when called again, from several threads and after loading into a fresh layer,
/// equal dropout under equal tapes, independence of the examples of a batch, padding and causal masks, the
/// memory and its padding, RoPE and ALiBi where tokens see each other, equal outputs for the whole text and
/// for pieces with a cache (where the layer says that it continues), what it offers to a Capture, a gradient
/// for every parameter, gradients of input and parameters against central differences, accumulation of
/// gradients, and (in programs that count) no allocation after warm-up. Nothing is thrown.
std::vector<std::string> check_layer(const std::function<Layer::Factory>& make,
                                     const LayerCheck& options = {});

/// The same for a layer type:
///
///     TEST_CASE("my layer is sound") { CHECK(check_layer<GatedMlp>({8, "hidden = 4"}) ==
///     std::vector<std::string>{}); }
template <class T>
std::vector<std::string> check_layer(const LayerCheck& options = {}) {
  return check_layer([](const Scope& scope, const Section& config,
                        Index width) { return std::make_unique<T>(scope, config, width); },
                     options);
}

}  // namespace qkv
