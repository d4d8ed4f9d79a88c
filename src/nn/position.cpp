#include "qkv/nn/position.h"

#include <algorithm>
#include <cmath>

#include "autograd/trace.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

Tensor sinusoidal_table(Index rows, Index origin, Index width, Dtype dtype) {
  Tensor table = Tensor::empty({rows, width}, Dtype::f64);
  double* values = table.data<double>();
  for (Index r = 0; r < rows; r++)
    for (Index i = 0; i < width; i++) {
      const double angle = double(r - origin) * std::pow(10000.0, -double(i / 2 * 2) / double(width));
      values[r * width + i] = i % 2 ? std::cos(angle) : std::sin(angle);
    }
  return table.to(dtype);
}

bool in_attention(PositionType type) {
  return type != PositionType::learned && type != PositionType::sinusoidal && type != PositionType::none;
}

RelativeConfig PositionConfig::relative() const {
  if (type == PositionType::t5) return {buckets, max_distance > 0 ? max_distance : 128};
  if (type == PositionType::shaw) return {0, max_distance > 0 ? max_distance : 16};
  return {};
}

void skip_layers(const Section& model) {
  model.skip("layers");
  if (model.has("attention") && model.section("attention").has("type")) model.section("attention").skip_all();
}

void check_position(const Section& model, const PositionConfig& c, AttentionConfig& heads, Index width) {
  const Section position = model.section("position");
  if (in_attention(c.type) && c.origin != PositionOrigin::start)
    position.report("origin", fmt::format("must be \"start\" with type = \"{}\"; got \"{}\"", text_of(c.type),
                                          text_of(c.origin)));
  if (c.type == PositionType::rope && heads.head_width(width) % 2 != 0) {
    skip_layers(model);
    position.report(
        "type", fmt::format("\"rope\" needs heads of even width; got {} (try model.attention.d_head = {})",
                            heads.head_width(width), heads.head_width(width) + 1));
  }
  const PositionConfig other;
  const bool rope = c.type == PositionType::rope, t5 = c.type == PositionType::t5,
             shaw = c.type == PositionType::shaw;
  auto only = [&](const char* key, bool given, bool read, const char* types) {
    if (given && !read)
      position.report(
          key, fmt::format("must be left out unless type = {}; got type \"{}\"", types, text_of(c.type)));
  };
  only("theta", c.theta != other.theta, rope, "\"rope\"");
  only("pairing", c.pairing != other.pairing, rope, "\"rope\"");
  only("rotary_fraction", c.rotary_fraction != other.rotary_fraction, rope, "\"rope\"");
  only("buckets", c.buckets != other.buckets, t5, "\"t5\"");
  only("per_layer", c.per_layer, t5, "\"t5\"");
  only("max_distance", c.max_distance != other.max_distance, t5 || shaw, "\"t5\" or \"shaw\"");
  auto refuse = [&](const char* key, const std::string& problem) {  // what cannot be made to look for more
    skip_layers(model);
    position.fail(key, problem);
  };
  const Index D = heads.head_width(width), turned = c.rotated(D), most = c.relative().max_distance;
  if (rope && D % 2 == 0 && (turned == 0 || turned % 2 != 0))
    refuse("rotary_fraction",
           fmt::format("times the width {} of a head must be even and at least 2; got {}", D, turned));
  if (t5 && c.buckets % 2 != 0) refuse("buckets", fmt::format("must be even; got {}", c.buckets));
  if (t5 && most <= c.buckets / 2)
    refuse("max_distance", fmt::format("must be more than half of buckets = {}; got {}", c.buckets, most));
  if ((rope || shaw) && heads.qkv != Projections::learned)
    position.report("type", fmt::format("\"{}\" needs model.attention.qkv = \"learned\"; got \"{}\"",
                                        text_of(c.type), text_of(heads.qkv)));
  if (!shaw && !(t5 && c.per_layer)) return;
  heads.relative = c.relative();
  if (model.has("layers") || heads.type != AttentionConfig().type)
    position.report(
        shaw ? "type" : "per_layer",
        "needs n_layer blocks with model.attention.type = \"attention\", which learn it; got other layers");
}

Position::Position(const Scope& s, const PositionConfig& c, Index max_length, Index width,
                   const AttentionConfig& heads)
    : none(c.type == PositionType::none || in_attention(c.type)),
      relative(!none && c.origin == PositionOrigin::target),
      max_length(max_length),
      interleaved(c.pairing == RopePairing::interleaved),
      path(s.path()) {
  const Dtype dtype = s.store().dtype();
  const bool symbolic = s.store().symbolic();
  if (c.type == PositionType::rope) {
    const Index D = heads.head_width(width);
    QKV_CHECK(D % 2 == 0, "position: \"rope\" needs heads of even width; got {}", D);
    const Index dim = c.rotated(D);
    const Tensor shape_only = Tensor::symbolic({max_length, dim / 2}, dtype);
    rotary =
        symbolic ? RotaryTable{shape_only, shape_only} : rotary_table(0, max_length, dim, c.theta, dtype);
  }
  if (c.type == PositionType::alibi)
    alibi = symbolic ? Tensor::symbolic({heads.n_head, 2 * max_length - 1}, dtype)
                     : alibi_bias(heads.n_head, max_length, dtype);
  if (c.type == PositionType::t5 && !c.per_layer) t5 = RelativeBias(s, c.relative(), heads.n_head, width);
  if (none) return;
  const Index rows = relative ? 2 * max_length - 1 : max_length, origin = relative ? max_length - 1 : 0;
  if (c.type == PositionType::learned)
    weight = s.param("weight", {rows, width}, init::vectors());
  else
    fixed = symbolic ? Tensor::symbolic({rows, width}, dtype) : sinusoidal_table(rows, origin, width, dtype);
}

// Only before training is it a remedy to make the model longer.
static std::string remedy(const Tensor& x, Index length) {
  return x.is_symbolic() ? fmt::format(" (try model.max_seq_len = {})", length) : "";
}

void Position::extend(Context& context, Index start, Index length) const {
  LayerPath here(path);
  if (rotary.cos.defined()) {
    QKV_CHECK(start + length <= max_length, "position: length must be at most max_seq_len = {}; got {}{}",
              max_length, start + length, remedy(rotary.cos, start + length));
    auto part = [&](const Tensor& table) {
      return slice(table, 0, start, start + length).value();
    };
    context.rotary = {part(rotary.cos), part(rotary.sin)};
    context.interleaved = interleaved;
  }
  if (t5.defined()) context.mask.relative = t5.table(context.mask.causal);
  if (!alibi.defined()) return;
  const bool longer = start + length > max_length && !alibi.is_symbolic();  // than any distance in the table
  context.mask.relative = longer ? alibi_bias(alibi.dim(0), start + length, alibi.dtype()) : alibi;
}

Var Position::operator()(const Var& x, const Tensor& origin, Index start) const {
  if (none) return x;
  LayerPath here(path);
  const Index B = x.dim(0), T = x.dim(1);
  QKV_CHECK(relative || start + T <= max_length,
            "position: length must be at most max_seq_len = {}; got {}{}", max_length, start + T,
            remedy(x.value(), start + T));
  QKV_CHECK(!relative || (origin.defined() && origin.shape() == Shape{B} && origin.dtype() == Dtype::i32),
            "position: target must be i32 {} with origin = \"target\"; got {}", Shape{B},
            origin.defined() ? origin.str() : "none");
  const bool own = origin.defined();  // each row has its own positions
  QKV_CHECK(relative || !own || (origin.shape() == Shape{B, T} && origin.dtype() == Dtype::i32),
            "position: starts must be i32 {}; got {}", Shape{B, T}, origin.str());
  // Row of the table for each position: t, or t - origin + offset, clipped at both ends.
  const Index offset = relative ? max_length - 1 : 0, last = offset + max_length - 1;
  Tensor rows = Tensor::result(own ? Shape{B, T} : Shape{T}, x.value(), Dtype::i32);
  if (!rows.is_symbolic()) {
    std::int32_t* row = rows.data<std::int32_t>();
    for (Index i = 0; i < rows.size(); i++) {
      const Index from = own ? origin.data<std::int32_t>()[relative ? i / T : i] : -start;
      row[i] = std::int32_t(std::clamp<Index>(i % T - from + offset, 0, last));
    }
    if (relative)
      Note()("target", origin)("max_length", max_length).add("relative_positions", rows);
    else if (own)
      Note()("starts", origin).add("document_positions", rows);
    else
      Note()("begin", start).add("positions", rows);
  }
  return activation("out", weight.defined() ? x + embedding(rows, weight)  // [B, T, d]
                                            : x * std::sqrt(double(x.dim(2))) + embedding(rows, fixed));
}

}  // namespace qkv
