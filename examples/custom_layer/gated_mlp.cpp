// A user-defined layer that configs can name: a gated MLP with residual, x + down(gelu(gate(h)) * up(h)), h =
// norm(x). This file is linked into a program (main.cpp) or made a plug-in (../plugin), as it is.
#include <qkv/qkv.h>

using namespace qkv;

struct GatedMlpConfig {
  Index hidden = 64;
  double dropout = 0.0;
  void fields(FieldCollector& f) {
    f("hidden", hidden, "width of the inner layer", rule::positive);
    f("dropout", dropout, "probability of zeroing an inner activation while training", rule::probability);
  }
};

struct GatedMlp : Layer {
  GatedMlp(const Scope& s, const Section& section, Index width)
      : config(section.read<GatedMlpConfig>()),
        norm(s / "norm", NormConfig(), width),
        gate(s / "gate", width, config.hidden),
        up(s / "up", width, config.hidden),
        down(s / "down", config.hidden, width) {}
  Var forward(const Var& x, const Context&) const override {  // [B, T, width] -> [B, T, width]
    const Var h = norm(x);
    return x + down(dropout(gelu(gate(h)) * up(h), config.dropout));
  }
  Index out_width() const override { return down.weight.value().dim(0); }
  bool continues() const override { return true; }  // each token by itself

  GatedMlpConfig config;
  Norm norm;
  Linear gate, up, down;
};

QKV_REGISTER(Layer, "gated-mlp", GatedMlp, "x + down(gelu(gate(norm(x))) * up(norm(x)))");
