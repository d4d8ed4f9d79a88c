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

Tensor alibi_slopes(Index n_head, Dtype dtype) {
  Index power = 1;
  while (2 * power <= n_head) power *= 2;
  std::vector<double> slopes;
  for (Index i = 1; i <= power; i++) slopes.push_back(std::exp2(-8.0 * double(i) / double(power)));
  for (Index i = 1; Index(slopes.size()) < n_head; i += 2)
    slopes.push_back(std::exp2(-4.0 * double(i) / double(power)));
  return Tensor::from({n_head}, slopes).to(dtype);
}

void skip_layers(const Section& model) {
  model.skip("layers");
  if (model.has("attention") && model.section("attention").has("type")) model.section("attention").skip_all();
}

void check_position(const Section& model, const PositionConfig& c, const AttentionConfig& heads,
                    Index width) {
  const bool in_attention = c.type == PositionType::rope || c.type == PositionType::alibi;
  const Section position = model.section("position");
  if (in_attention && c.origin != PositionOrigin::start)
    position.report("origin", fmt::format("must be \"start\" with type = \"{}\"; got \"{}\"", text_of(c.type),
                                          text_of(c.origin)));
  if (c.type == PositionType::rope && heads.head_width(width) % 2 != 0) {
    skip_layers(model);
    position.report(
        "type", fmt::format("\"rope\" needs heads of even width; got {} (try model.attention.d_head = {})",
                            heads.head_width(width), heads.head_width(width) + 1));
  }
  const PositionConfig other;
  for (const char* key : {"theta", "pairing"})
    if (c.type != PositionType::rope && (key[0] == 't' ? c.theta != other.theta : c.pairing != other.pairing))
      position.report(
          key, fmt::format("must be left out unless type = \"rope\"; got type \"{}\"", text_of(c.type)));
  if (c.type == PositionType::rope && heads.qkv != Projections::learned)
    position.report("type",
                    "\"rope\" needs model.attention.qkv = \"learned\"; got \"" + text_of(heads.qkv) + "\"");
}

Position::Position(const Scope& s, const PositionConfig& c, Index max_length, Index width,
                   const AttentionConfig& heads)
    : none(c.type == PositionType::none || c.type == PositionType::rope || c.type == PositionType::alibi),
      relative(!none && c.origin == PositionOrigin::target),
      max_length(max_length),
      interleaved(c.pairing == RopePairing::interleaved),
      path(s.path()) {
  const Dtype dtype = s.store().dtype();
  const bool symbolic = s.store().symbolic();
  if (c.type == PositionType::rope) {
    const Index D = heads.head_width(width);
    QKV_CHECK(D % 2 == 0, "position: \"rope\" needs heads of even width; got {}", D);
    const Tensor shape_only = Tensor::symbolic({max_length, D / 2}, dtype);
    rotary = symbolic ? RotaryTable{shape_only, shape_only} : rotary_table(0, max_length, D, c.theta, dtype);
  }
  if (c.type == PositionType::alibi)
    slopes = symbolic ? Tensor::symbolic({heads.n_head}, dtype) : alibi_slopes(heads.n_head, dtype);
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
  context.mask.slopes = slopes;
}

Var Position::operator()(const Var& x, const Tensor& target, Index start) const {
  if (none) return x;
  LayerPath here(path);
  const Index B = x.dim(0), T = x.dim(1);
  QKV_CHECK(relative || start + T <= max_length,
            "position: length must be at most max_seq_len = {}; got {}{}", max_length, start + T,
            remedy(x.value(), start + T));
  QKV_CHECK(!relative || (target.defined() && target.shape() == Shape{B} && target.dtype() == Dtype::i32),
            "position: target must be i32 {} with origin = \"target\"; got {}", Shape{B},
            target.defined() ? target.str() : "none");
  // Row of the table for each position: t, or t - target + (max_length - 1), clipped at both ends.
  Tensor rows = Tensor::result(relative ? Shape{B, T} : Shape{T}, x.value(), Dtype::i32);
  if (!rows.is_symbolic()) {
    std::int32_t* row = rows.data<std::int32_t>();
    for (Index i = 0; i < rows.size(); i++) {
      Index position = relative ? i % T - target.data<std::int32_t>()[i / T] + max_length - 1 : start + i;
      row[i] = std::int32_t(std::clamp<Index>(position, 0, relative ? 2 * max_length - 2 : max_length - 1));
    }
    if (relative)
      Note()("target", target)("max_length", max_length).add("relative_positions", rows);
    else
      Note()("begin", start).add("positions", rows);
  }
  if (weight.defined()) return x + embedding(rows, weight);  // [B, T, d]
  return x * std::sqrt(double(x.dim(2))) + embedding(rows, fixed);
}

}  // namespace qkv
