#include "qkv/nn/norm.h"

#include "qkv/ops/norm.h"

namespace qkv {

Norm::Norm(const Scope& s, const NormConfig& config, Index width)
    : rms(config.type == NormType::rmsnorm),
      eps(config.eps),
      weight(s.param("weight", {width}, init::ones())),
      bias(rms ? Parameter() : s.param("bias", {width})),
      path(s.path()) {}

Var Norm::operator()(const Var& x) const {
  LayerPath here(path);
  return rms ? rms_norm(x, weight, eps) : layer_norm(x, weight, bias, eps);
}

}  // namespace qkv
