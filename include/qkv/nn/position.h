// Position: where a token stands, for a transformer.
#pragma once
#include "qkv/base/config.h"
#include "qkv/nn/attention.h"

namespace qkv {

/// Kind of positions, and where they are counted from.
enum class PositionType { learned, sinusoidal, rope, alibi, none };
inline std::vector<std::string> names_of(PositionType) {
  return {"learned", "sinusoidal", "rope", "alibi", "none"};
}

enum class PositionOrigin { start, target };
inline std::vector<std::string> names_of(PositionOrigin) {
  return {"start", "target"};
}

/// Which elements of a head RoPE rotates with each other.
enum class RopePairing { halves, interleaved };
inline std::vector<std::string> names_of(RopePairing) {
  return {"halves", "interleaved"};
}

/// The table [model.position].
struct PositionConfig {
  PositionType type = PositionType::learned;
  PositionOrigin origin = PositionOrigin::start;
  double theta = 10000.0;
  RopePairing pairing = RopePairing::halves;
  template <class F>
  void fields(F& f) {
    f("type", type, "kind of positions");
    f("origin", origin, "count from the start of the text, or from the target word (signed, clipped)");
    f("theta", theta, "rope: pair i of a head of width d turns by theta^(-2 i / d) per position",
      rule::positive);
    f("pairing", pairing,
      "rope: element i of a head turns with i + d / 2 (halves: GPT-NeoX, Llama), or 2 i with 2 i + 1 "
      "(interleaved: RoFormer, GPT-J)");
  }
};

/// Accepts the tables of layers unread, before an error because of which none is made.
void skip_layers(const Section& model);

/// Reports positions that these heads cannot use, at model.position.
void check_position(const Section& model, const PositionConfig& config, const AttentionConfig& heads,
                    Index width);

/// Adds a vector per position to x [B, T, d]: a learned table, or fixed sines and cosines of geometric
/// wavelengths (Vaswani et al. 2017, section 3.5). The latter are sqrt(d / 2) long, so x is first multiplied
/// by sqrt(d) (section 3.4). "rope" (Su et al. 2021) and "alibi" (Press et al. 2022) leave x alone and act
/// in the attention layers instead, through the context.
struct Position {
  /// `heads`: of the attention layers, for "rope" and "alibi".
  Position(const Scope& s, const PositionConfig& config, Index max_length, Index width,
           const AttentionConfig& heads = {});
  /// x holds the positions from `start` on. `target` [B] is the position of the target word; needed only when
  /// `relative`.
  Var operator()(const Var& x, const Tensor& target = {}, Index start = 0) const;
  /// Adds to the context what attention layers must know about `length` positions from `start` on.
  void extend(Context& context, Index start, Index length) const;

  bool none, relative;  ///< relative: counted from the target
  Index max_length;
  Parameter weight;  ///< [max_length, d], or [2 * max_length - 1, d] counted from the target
  Tensor fixed;
  RotaryTable rotary;  ///< RoPE: [max_length, D / 2] each
  bool interleaved;    ///< RoPE: pairing
  Tensor slopes;       ///< ALiBi: [H]
  std::string path;
};

/// Slopes of ALiBi: 2^(-8 i / H) for head i = 1 .. H, and for other numbers of heads than powers of two those
/// of the next lower power with every second one of the next higher between them.
Tensor alibi_slopes(Index n_head, Dtype dtype);

/// [rows, width]: row r is the sinusoidal vector of position p = r - origin,
/// PE(p, 2j) = sin(p / 10000^(2j / d)), PE(p, 2j + 1) = cos(p / 10000^(2j / d)).
Tensor sinusoidal_table(Index rows, Index origin, Index width, Dtype dtype);

}  // namespace qkv
