// Position: tells a transformer where a token stands.
#pragma once
#include "qkv/base/config.h"
#include "qkv/nn/parameter.h"

namespace qkv {

struct PositionConfig {
  std::string type = "learned";
  std::string origin = "start";
  template <class F>
  void fields(F& f) {
    f("type", type, "how positions are told", one_of({"learned", "sinusoidal", "none"}));
    f("origin", origin, "count from the start of the text, or from the target word (signed, clipped)",
      one_of({"start", "target"}));
  }
};

/// Adds a vector per position to x [B, T, d]: a learned table, or fixed sines and cosines of geometric
/// wavelengths (Vaswani et al. 2017, section 3.5). The latter are sqrt(d / 2) long, so x is first multiplied
/// by sqrt(d) (section 3.4).
struct Position {
  Position(const Scope& s, const PositionConfig& config, Index max_length, Index width);
  /// `target` [B] is the position of the target word; needed only when `relative`.
  Var operator()(const Var& x, const Tensor& target = {}) const;

  bool none, relative;  ///< relative: counted from the target
  Index max_length;
  Parameter weight;  ///< [max_length, d], or [2 * max_length - 1, d] counted from the target
  Tensor fixed;
  std::string path;
};

/// [rows, width]: row r is the sinusoidal vector of position p = r - origin,
/// PE(p, 2j) = sin(p / 10000^(2j / d)), PE(p, 2j + 1) = cos(p / 10000^(2j / d)).
Tensor sinusoidal_table(Index rows, Index origin, Index width, Dtype dtype);

}  // namespace qkv
