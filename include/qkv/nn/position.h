// Position: where a token stands, for a transformer.
#pragma once
#include "qkv/base/config.h"
#include "qkv/nn/attention.h"

namespace qkv {

/// Kind of positions, and where they are counted from.
enum class PositionType { learned, sinusoidal, rope, alibi, none, t5, shaw };
inline std::vector<std::string> names_of(PositionType) {
  return {"learned", "sinusoidal", "rope", "alibi", "none", "t5", "shaw"};
}
/// Whether it acts in the attention layers, not on the vectors.
bool in_attention(PositionType type);

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
  double rotary_fraction = 1.0;
  Index buckets = 32, max_distance = 0;
  bool per_layer = false;
  void fields(FieldCollector& f) {
    f("type", type, "kind of positions");
    f("origin", origin, "count from the start of the text, or from the target word (signed, clipped)");
    f("theta", theta, "rope: pair i of a head of width d turns by theta^(-2 i / d) per position",
      rule::positive);
    f("pairing", pairing,
      "rope: element i of a head turns with i + d / 2 (halves: GPT-NeoX, Llama), or 2 i with 2 i + 1 "
      "(interleaved: RoFormer, GPT-J)");
    f("rotary_fraction", rotary_fraction,
      "rope: share of each head, from its begin, that is rotated (GPT-NeoX, Black et al. 2022)",
      rule::between(0, 1));
    f("buckets", buckets, "t5: buckets of distances, in both directions unless causal (Raffel et al. 2020)",
      rule::between(4, 1 << 16));
    f("max_distance", max_distance,
      "t5, shaw: distances beyond this are one; 0 = 128 for t5, 16 for shaw (Shaw et al. 2018)",
      rule::between(0, 1 << 20));
    f("per_layer", per_layer, "t5: each layer learns its own numbers, instead of all the same");
  }
  /// How wide the part of a head of width D is that RoPE rotates.
  Index rotated(Index D) const { return Index(rotary_fraction * double(D)); }
  /// Of T5 and Shaw, else nothing.
  RelativeConfig relative() const;
};

/// Accepts the tables of layers unread, before an error because of which none is made.
void skip_layers(const Section& model);

/// Reports positions that these heads cannot use, at model.position. Tells the heads what each layer learns.
void check_position(const Section& model, const PositionConfig& config, AttentionConfig& heads, Index width);

/// Adds a vector per position to x [B, T, d]: a learned table, or fixed sines and cosines of geometric
/// wavelengths (Vaswani et al. 2017, section 3.5). The latter are sqrt(d / 2) long, so x is first multiplied
/// by sqrt(d) (section 3.4). "rope" (Su et al. 2021), "alibi" (Press et al. 2022), "t5" (Raffel et al. 2020)
/// and "shaw" (Shaw et al. 2018) leave x alone and act in the attention layers instead, through the context,
/// or as parameters of the layers ("shaw", and "t5" with per_layer).
struct Position {
  /// `heads`: of the attention layers, for "rope", "alibi" and "t5".
  Position(const Scope& s, const PositionConfig& config, Index max_length, Index width,
           const AttentionConfig& heads = {});
  /// x holds the positions from `start` on. `origin` (i32) is where they are counted from: when `relative`,
  /// [B], the position of the target word; else, where a row holds several documents, [B, T], the begin of
  /// that of each token.
  Var operator()(const Var& x, const Tensor& origin = {}, Index start = 0) const;
  /// Adds to the context what attention layers must know about `length` positions from `start` on.
  void extend(Context& context, Index start, Index length) const;

  bool none, relative;  ///< relative: counted from the target
  Index max_length;
  Parameter weight;  ///< [max_length, d], or [2 * max_length - 1, d] counted from the target
  Tensor fixed;
  RotaryTable rotary;  ///< RoPE: [max_length, rotated / 2] each
  bool interleaved;    ///< RoPE: pairing
  Tensor alibi;        ///< [H, 2 max_length - 1]
  RelativeBias t5;     ///< of all layers
  std::string path;
};

/// [rows, width]: row r is the sinusoidal vector of position p = r - origin,
/// PE(p, 2j) = sin(p / 10000^(2j / d)), PE(p, 2j + 1) = cos(p / 10000^(2j / d)).
Tensor sinusoidal_table(Index rows, Index origin, Index width, Dtype dtype);

}  // namespace qkv
