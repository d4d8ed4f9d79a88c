#include "qkv/nn/feed_forward.h"

#include "qkv/ops/activations.h"
#include "qkv/ops/dropout.h"

namespace qkv {

FeedForward::FeedForward(const Scope& s, const FeedForwardConfig& config, Index width)
    : activation(config.activation),
      dropout(config.dropout),
      up(s / "up", width, config.d_ff),
      down(s / "down", config.d_ff, width) {
  if (activation == Activation::swiglu) gate.emplace(s / "gate", width, config.d_ff);
}

Var FeedForward::operator()(const Var& x) const {
  Var h = up(x);  // [.., d_ff]
  switch (activation) {
    case Activation::gelu:
      h = gelu(h, GeluForm::tanh);
      break;
    case Activation::gelu_erf:
      h = gelu(h);
      break;
    case Activation::relu:
      h = relu(h);
      break;
    case Activation::silu:
      h = silu(h);
      break;
    case Activation::swiglu:
      h = swiglu((*gate)(x), h);
  }
  return down(qkv::dropout(h, dropout));
}

}  // namespace qkv
