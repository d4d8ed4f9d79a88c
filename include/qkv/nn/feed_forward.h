// FeedForward: the position-wise network of a transformer block.
#pragma once
#include <optional>

#include "qkv/base/config.h"
#include "qkv/nn/linear.h"

namespace qkv {

enum class Activation { gelu, gelu_erf, relu, silu, swiglu };
inline std::vector<std::string> names_of(Activation) {
  return {"gelu", "gelu-erf", "relu", "silu", "swiglu"};
}

struct FeedForwardConfig {
  Index d_ff = 64;
  Activation activation = Activation::gelu;
  double dropout = 0.0;  // set from the model's
  template <class F>
  void fields(F& f) {
    f("d_ff", d_ff, "width of the inner layer; 0 = no feed-forward layer", rule::non_negative);
    f("activation", activation,
      "non-linearity; gelu is the tanh form (GPT-2), gelu-erf the exact one (BERT)");
  }
};

/// x [.., d] -> down(dropout(f(up(x)))) [.., d], f being gelu (tanh form), gelu-erf, relu or silu; swiglu:
/// down(dropout(silu(gate(x)) * up(x))) (Shazeer 2020).
struct FeedForward {
  FeedForward(const Scope& s, const FeedForwardConfig& config, Index width);
  Var operator()(const Var& x) const;

  Activation activation;
  double dropout;
  std::optional<Linear> gate;
  Linear up, down;
};

}  // namespace qkv
