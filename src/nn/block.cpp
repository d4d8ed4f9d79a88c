#include "qkv/nn/block.h"

#include "qkv/ops/arithmetic.h"
#include "qkv/ops/dropout.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Layer);
QKV_REGISTER(Layer, "block", Block, "self-attention and feed-forward with residuals and norms");

void BlockConfig::complete(const Section& where, Index width) {
  attention.check(where.section("attention"), width);
  attention.dropout = ffn.dropout = dropout;
}

Block::Block(const Scope& s, const BlockConfig& c, Index width)
    : width_(width),
      dropout(c.dropout),
      pre(c.norm.place == "pre"),
      norm1(s / "norm1", c.norm, width),
      attn(s / "attn", c.attention, width) {
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
  return c;
}
Block::Block(const Scope& s, const Section& section, Index width)
    : Block(s, read_block(section, width), width) {}

Var Block::forward(const Var& x, const Context& context) const {
  auto residual = [&](const Var& x, const Norm& norm, auto&& f) {
    return pre ? x + qkv::dropout(f(norm(x)), dropout) : norm(x + qkv::dropout(f(x), dropout));
  };
  Var h = residual(x, norm1, [&](const Var& v) { return attn(v, context); });  // [B, T, d]
  if (cross_attn) h = residual(h, *norm_cross, [&](const Var& v) { return (*cross_attn)(v, context); });
  return ffn ? residual(h, *norm2, [&](const Var& v) { return (*ffn)(v); }) : h;
}

}  // namespace qkv
