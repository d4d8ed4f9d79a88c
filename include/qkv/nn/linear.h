// Linear: affine map with weights.
#pragma once
#include "qkv/nn/parameter.h"
#include "qkv/ops/linear.h"

namespace qkv {

/// [.., in] -> [.., out], y = x W^T + b; weight [out, in] as in PyTorch, the bias starts at 0.
struct Linear {
  Linear(const Scope& s, Index in, Index out, bool with_bias = true)
      : weight(s.param("weight", {out, in}, init::kaiming(in))),
        bias(with_bias ? s.param("bias", {out}) : Parameter()),
        path(s.path()) {}
  /// Without bias, with a weight that another layer has, too.
  Linear(const Scope& s, const Parameter& tied) : weight(tied), path(s.path()) {}
  Var operator()(const Var& x) const {
    LayerPath here(path);
    return linear(x, weight, bias);
  }

  Parameter weight, bias;
  std::string path;
};

}  // namespace qkv
