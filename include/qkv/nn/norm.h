// Norm: layer norm or RMS norm, as the config says.
#pragma once
#include "qkv/autograd/capture.h"
#include "qkv/base/config.h"
#include "qkv/nn/parameter.h"
#include "qkv/ops/norm.h"

namespace qkv {

/// Kind of a norm, and its place in a block.
enum class NormType { layernorm, rmsnorm };
inline std::vector<std::string> names_of(NormType) {
  return {"layernorm", "rmsnorm"};
}

enum class NormPlace { pre, post };
inline std::vector<std::string> names_of(NormPlace) {
  return {"pre", "post"};
}

/// The table [model.norm].
struct NormConfig {
  NormType type = NormType::layernorm;
  NormPlace place = NormPlace::pre;
  double eps = 1e-5;
  void fields(FieldCollector& f) {
    f("type", type, "normalisation of each vector");
    f("place", place, "before (pre) or after (post) each sub-layer");
    f("eps", eps, "added to the variance", rule::positive);
  }
};

/// [.., width] -> [.., width] (Ba et al. 2016; Zhang and Sennrich 2019). RMS norm has no bias.
/// f32 or f64. Throws `layer_norm: gain must be ..; got ..` for another width.
struct Norm {
  Norm(const Scope& s, const NormConfig& config, Index width)
      : rms(config.type == NormType::rmsnorm),
        eps(config.eps),
        weight(s.param("weight", {width}, init::ones())),
        bias(rms ? Parameter() : s.param("bias", {width})),
        path(s.path()) {}
  Var operator()(const Var& x) const {
    LayerPath here(path);
    return activation("out", rms ? rms_norm(x, weight, eps) : layer_norm(x, weight, bias, eps));
  }

  bool rms;
  double eps;
  Parameter weight, bias;
  std::string path;
};

}  // namespace qkv
