// The building blocks as registered layers, for [[model.layers]]: without the norms of a block, and with a
// residual only if a key asks for it.
#include <functional>

#include "qkv/nn/attention.h"
#include "qkv/nn/layer.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/norm.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"

namespace qkv {
namespace {

struct LinearConfig {
  Index d_in = 0, d_out = 0;
  bool bias = true;
  void fields(FieldCollector& f) {
    f("d_in", d_in, "width of the input; 0 = that of the layer before", rule::non_negative);
    f("d_out", d_out, "width of the output; 0 = that of the input", rule::non_negative);
    f("bias", bias, "learn a bias");
  }
};

// A layer that looks at each token by itself, as a function of its vector.
struct TokenLayer : Layer {
  TokenLayer(Index out, std::function<Var(const Var&)> f) : out(out), f(std::move(f)) {}
  Var forward(const Var& x, const Context&) const override { return f(x); }
  Index out_width() const override { return out; }
  bool continues() const override { return true; }
  Index out;
  std::function<Var(const Var&)> f;
};

struct LinearLayer : TokenLayer {
  LinearLayer(const Scope& s, const Section& section, Index width)
      : LinearLayer(s, read(section, width), width) {}
  LinearLayer(const Scope& s, const LinearConfig& c, Index width)
      : TokenLayer(c.d_out, Linear(s, width, c.d_out, c.bias)) {}
  static LinearConfig read(const Section& section, Index width) {
    LinearConfig c = section.read<LinearConfig>();
    if (c.d_in && c.d_in != width)
      section.report("d_in", fmt::format("must be the width {} of the layer before; got {}", width, c.d_in));
    if (c.d_out == 0) c.d_out = width;
    return c;
  }
};

struct FeedForwardLayer : TokenLayer {
  FeedForwardLayer(const Scope& s, const Section& section, Index width)
      : TokenLayer(width, FeedForward(s, read(section), width)) {}
  static FeedForwardConfig read(const Section& section) {
    FeedForwardConfig c = section.read<FeedForwardConfig>();
    if (c.d_ff > 0) return c;
    section.report("d_ff", "must be positive; got 0");
    c.d_ff = 1;
    return c;
  }
};

template <NormType type>
struct NormLayer : TokenLayer {
  NormLayer(const Scope& s, const Section& section, Index width)
      : TokenLayer(width, Norm(s, {type, NormPlace::pre, read_eps(section)}, width)) {}
  static double read_eps(const Section& section) {
    return section.get("eps", NormConfig().eps, "added to the variance", rule::positive);
  }
};

struct DropoutLayer : TokenLayer {
  DropoutLayer(const Scope&, const Section& section, Index width)
      : TokenLayer(width, [p = section.get("p", 0.1, "probability of zeroing an activation while training",
                                           rule::dropping)](const Var& x) { return dropout(x, p); }) {}
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

QKV_REGISTER(Layer, "linear", LinearLayer, "affine map of each token, which may change the width");
QKV_REGISTER(Layer, "feed-forward", Residual<FeedForwardLayer>,
             "two linear maps with a non-linearity between them");
QKV_REGISTER(Layer, "attention", Residual<MultiHeadAttention>, "multi-head self-attention");
QKV_REGISTER(Layer, "layernorm", NormLayer<NormType::layernorm>, "layer norm of each token");
QKV_REGISTER(Layer, "rmsnorm", NormLayer<NormType::rmsnorm>, "RMS norm of each token");
QKV_REGISTER(Layer, "dropout", DropoutLayer, "dropout while training");

}  // namespace qkv
