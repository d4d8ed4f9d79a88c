#include "qkv/nn/block.h"

#include "qkv/autograd/capture.h"
#include "qkv/base/make.h"
#include "qkv/base/text.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Layer);
QKV_REGISTER(Layer, "block", Block, "self-attention and feed-forward with residuals and norms");

Var activate(const Var& x, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return gelu(x, GeluForm::tanh);
    case Activation::gelu_erf:
      return gelu(x);
    case Activation::relu:
      return relu(x);
    case Activation::relu2:
      return relu_squared(x);
    case Activation::silu:
    case Activation::swiglu:
      break;
  }
  return silu(x);
}

FeedForward::FeedForward(const Scope& s, const FeedForwardConfig& config, Index width)
    : activation(config.activation),
      dropout(config.dropout),
      up(s / "up", width, config.d_ff, config.bias),
      down(s / "down", config.d_ff, width, config.bias) {
  if (activation == Activation::swiglu) gate.emplace(s / "gate", width, config.d_ff, config.bias);
}

Var FeedForward::operator()(const Var& x) const {
  const Var h = up(x);  // [.., d_ff]
  Var active = gate ? swiglu((*gate)(x), h) : activate(h, activation);
  {
    LayerPath here(up.path);
    active = qkv::activation("activations", std::move(active));
  }
  return down(qkv::dropout(active, dropout));
}

void BlockConfig::complete(const Section& where, Index width) {
  const Section table = where.section("attention");
  if (attention.type == "attention") {
    attention.check(table, width);
  } else {
    if (!check_type<Layer>(table, "attention")) where.check();
    attention_table = table;
  }
  attention.dropout = ffn.dropout = dropout;
  attention.norm_eps = norm.eps;
}

static std::unique_ptr<Layer> make_attention(const Scope& s, const BlockConfig& c, Index width) {
  if (!c.attention_table) return std::make_unique<MultiHeadAttention>(s, c.attention, width);
  auto layer = make<Layer>(*c.attention_table, "attention", s, *c.attention_table, width);
  if (layer->out_width() != width)
    c.attention_table->fail(
        "type", fmt::format("must name a layer that keeps the width {}; got '{}', which gives {}", width,
                            c.attention.type, layer->out_width()));
  return layer;
}

Block::Block(const Scope& s, const BlockConfig& c, Index width)
    : width_(width),
      dropout(c.dropout),
      pre(c.norm.place == NormPlace::pre),
      norm1(s / "norm1", c.norm, width),
      attn(make_attention(s / "attn", c, width)),
      attn_path_((s / "attn").path()),
      ffn_path_((s / "ffn").path()) {
  if (c.memory_width > 0) {
    norm_cross.emplace(s / "norm_cross", c.norm, width);
    cross_attn.emplace(s / "cross_attn", c.attention, width, c.memory_width);
  }
  if (c.ffn.d_ff == 0) return;
  norm2.emplace(s / "norm2", c.norm, width);
  ffn.emplace(s / "ffn", c.ffn, width);
}

static BlockConfig read_block(const Section& section, Index width) {
  BlockConfig c;
  section.read(c);
  c.complete(section, width);
  if (c.attention.window_pattern.size() > 1)
    section.section("attention")
        .report("window_pattern",
                "must be left out of a single layer; got " + in_quotes(c.attention.window_pattern));
  return c;
}
Block::Block(const Scope& s, const Section& section, Index width)
    : Block(s, read_block(section, width), width) {}

Var Block::forward(const Var& x, const Context& context) const {
  auto residual = [&](const std::string& path, const Var& x, const Norm& norm, auto&& f) {
    auto within = [&](const Var& v) {
      LayerPath here(path);
      return qkv::dropout(f(v), dropout);
    };
    Var y = pre ? x + within(norm(x)) : norm(x + within(x));
    LayerPath here(path);
    return activation("residual", std::move(y));
  };
  Var h = residual(attn_path_, x, norm1, [&](const Var& v) { return (*attn)(v, context); });  // [B, T, d]
  if (cross_attn)
    h = residual(cross_attn->path, h, *norm_cross, [&](const Var& v) { return (*cross_attn)(v, context); });
  if (!ffn) return h;
  return residual(ffn_path_, h, *norm2, [&](const Var& v) { return activation("out", (*ffn)(v)); });
}

}  // namespace qkv
