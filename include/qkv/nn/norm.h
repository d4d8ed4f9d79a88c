// Norm: layer norm or RMS norm, as the config says.
#pragma once
#include "qkv/base/config.h"
#include "qkv/nn/parameter.h"

namespace qkv {

enum class NormType { layernorm, rmsnorm };
inline std::vector<std::string> names_of(NormType) {
  return {"layernorm", "rmsnorm"};
}

enum class NormPlace { pre, post };
inline std::vector<std::string> names_of(NormPlace) {
  return {"pre", "post"};
}

struct NormConfig {
  NormType type = NormType::layernorm;
  NormPlace place = NormPlace::pre;
  double eps = 1e-5;
  template <class F>
  void fields(F& f) {
    f("type", type, "normalisation of each vector");
    f("place", place, "before (pre) or after (post) each sub-layer");
    f("eps", eps, "added to the variance", rule::positive);
  }
};

/// [.., width] -> [.., width] (Ba et al. 2016; Zhang and Sennrich 2019). RMS norm has no bias.
struct Norm {
  Norm(const Scope& s, const NormConfig& config, Index width);
  Var operator()(const Var& x) const;

  bool rms;
  double eps;
  Parameter weight, bias;
  std::string path;
};

}  // namespace qkv
