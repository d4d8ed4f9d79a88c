// Linear: affine map with weights. FeedForward: the position-wise network of a transformer block.
#pragma once
#include <optional>

#include "qkv/autograd/capture.h"
#include "qkv/base/config.h"
#include "qkv/nn/parameter.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/matmul.h"

namespace qkv {

/// [.., in] -> [.., out], y = x W^T + b; weight [out, in] as in PyTorch, the bias starts at 0. f32 or f64.
/// Throws `linear: input width must be ..; got x .., weight ..`.
struct Linear {
  Linear(const Scope& s, Index in, Index out, bool with_bias = true)
      : weight(s.param("weight", {out, in}, init::kaiming(in))),
        bias(with_bias ? s.param("bias", {out}) : Parameter()),
        path(s.path()) {}
  /// Without bias, with a weight that another layer has, too.
  Linear(const Scope& s, const Parameter& tied) : weight(tied), path(s.path()) {}
  Var operator()(const Var& x) const {
    LayerPath here(path);
    Var y = linear(x, weight, bias);
    if (cap > 0) y = softcap(y, cap);
    return activation("out", std::move(y));
  }

  Parameter weight, bias;
  std::string path;
  double cap = 0;  ///< of a head: y becomes cap tanh(y / cap); 0 = none
};

/// The keys of [model] of a head, which gives the logits.
struct HeadConfig {
  double logit_softcap = 0.0;
  void fields(FieldCollector& f) {
    f("logit_softcap", logit_softcap,
      "logits become c tanh(logits / c) of this c (Gemma team 2024, \"Gemma 2\": 30); 0 = as they are",
      rule::non_negative);
  }
};

/// Non-linearity of a feed-forward layer.
enum class Activation { gelu, gelu_erf, relu, relu2, silu, swiglu };
inline std::vector<std::string> names_of(Activation) {
  return {"gelu", "gelu-erf", "relu", "relu2", "silu", "swiglu"};
}

/// The function of one tensor; of swiglu that of its gate, silu.
Var activate(const Var& x, Activation activation);

/// The table [model.ffn].
struct FeedForwardConfig {
  Index d_ff = 64;
  Activation activation = Activation::gelu;
  double dropout = 0.0;  // set from the model's
  bool bias = true;
  void fields(FieldCollector& f) {
    f("d_ff", d_ff, "width of the inner layer; 0 = no feed-forward layer", rule::non_negative);
    f("activation", activation,
      "non-linearity; gelu is the tanh form (GPT-2), gelu-erf the exact one (BERT), relu2 is max(x, 0)^2 "
      "(Primer, So et al. 2021)");
    f("bias", bias, "learn the biases of up, down and gate");
  }
};

/// x [.., d] -> down(dropout(f(up(x)))) [.., d], f being gelu (tanh form), gelu-erf, relu, relu2 or silu;
/// swiglu: down(dropout(silu(gate(x)) * up(x))) (Shazeer 2020).
struct FeedForward {
  FeedForward(const Scope& s, const FeedForwardConfig& config, Index width);
  Var operator()(const Var& x) const;

  Activation activation;
  double dropout;
  std::optional<Linear> gate;
  Linear up, down;
};

}  // namespace qkv
