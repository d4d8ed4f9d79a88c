// The building blocks as layers of their own, for [[model.layers]]: no norm but their own, and a residual
// only where a key asks for it.
#include "qkv/nn/attention.h"
#include "qkv/nn/feed_forward.h"
#include "qkv/nn/layer.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/norm.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/dropout.h"

namespace qkv {
namespace {

struct LinearConfig {
  Index d_in = 0, d_out = 0;
  bool bias = true;
  template <class F>
  void fields(F& f) {
    f("d_in", d_in, "width of the input; 0 = that of the layer before", rule::non_negative);
    f("d_out", d_out, "width of the output; 0 = that of the input", rule::non_negative);
    f("bias", bias, "learn a bias");
  }
};

struct LinearLayer : Layer {
  LinearLayer(const Scope& s, const Section& section, Index width)
      : LinearLayer(s, read(section, width), width) {}
  LinearLayer(const Scope& s, const LinearConfig& c, Index width)
      : linear(s, width, c.d_out ? c.d_out : width, c.bias), out(c.d_out ? c.d_out : width) {}
  static LinearConfig read(const Section& section, Index width) {
    LinearConfig c;
    section.read(c);
    if (c.d_in && c.d_in != width)
      section.report("d_in", fmt::format("must be the width {} of the layer before; got {}", width, c.d_in));
    return c;
  }
  Var forward(const Var& x, const Context&) const override { return linear(x); }
  Index out_width() const override { return out; }
  bool continues() const override { return true; }

  Linear linear;
  Index out;
};

// A layer that keeps the width and looks at each token by itself.
struct SameWidth : Layer {
  explicit SameWidth(Index width) : width(width) {}
  Index out_width() const override { return width; }
  bool continues() const override { return true; }
  Index width;
};

template <class Config>
Config read(const Section& section) {
  Config c;
  section.read(c);
  return c;
}

struct FeedForwardLayer : SameWidth {
  FeedForwardLayer(const Scope& s, const Section& section, Index width)
      : SameWidth(width), ffn(s, read_config(section), width) {}
  static FeedForwardConfig read_config(const Section& section) {
    FeedForwardConfig c = read<FeedForwardConfig>(section);
    if (c.d_ff > 0) return c;
    section.report("d_ff", "must be positive; got 0");
    c.d_ff = 1;
    return c;
  }
  Var forward(const Var& x, const Context&) const override { return ffn(x); }
  FeedForward ffn;
};

struct NormLayerConfig {
  double eps = NormConfig().eps;
  template <class F>
  void fields(F& f) {
    f("eps", eps, "added to the variance", rule::positive);
  }
};

struct NormLayer : SameWidth {
  NormLayer(const Scope& s, NormType type, const Section& section, Index width)
      : SameWidth(width), norm(s, {type, NormPlace::pre, read<NormLayerConfig>(section).eps}, width) {}
  Var forward(const Var& x, const Context&) const override { return norm(x); }
  Norm norm;
};
struct LayerNormLayer : NormLayer {
  LayerNormLayer(const Scope& s, const Section& section, Index width)
      : NormLayer(s, NormType::layernorm, section, width) {}
};
struct RmsNormLayer : NormLayer {
  RmsNormLayer(const Scope& s, const Section& section, Index width)
      : NormLayer(s, NormType::rmsnorm, section, width) {}
};

struct DropoutLayer : SameWidth {
  DropoutLayer(const Scope&, const Section& section, Index width)
      : SameWidth(width),
        p(section.get("p", 0.1, "probability of zeroing an activation while training", rule::dropping)) {}
  Var forward(const Var& x, const Context&) const override { return dropout(x, p); }
  double p;
};

// A layer that keeps the width; with the key `residual`, x + what it gives.
template <class Inner>
struct Residual : Inner {
  Residual(const Scope& s, const Section& section, Index width)
      : Inner(s, section, width), residual(section.get("residual", false, "add the input to the output")) {}
  Var forward(const Var& x, const Context& context) const override {
    const Var y = Inner::forward(x, context);
    return residual ? x + y : y;
  }
  bool residual;
};

}  // namespace

QKV_REGISTER(Layer, "linear", LinearLayer, "affine map of each token to a width of its own");
QKV_REGISTER(Layer, "feed-forward", Residual<FeedForwardLayer>,
             "two linear maps with a non-linearity between them");
QKV_REGISTER(Layer, "attention", Residual<MultiHeadAttention>, "multi-head self-attention");
QKV_REGISTER(Layer, "layernorm", LayerNormLayer, "layer norm of each token");
QKV_REGISTER(Layer, "rmsnorm", RmsNormLayer, "RMS norm of each token");
QKV_REGISTER(Layer, "dropout", DropoutLayer, "dropout while training");

}  // namespace qkv
