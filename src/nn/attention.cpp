#include "qkv/nn/attention.h"

#include <cmath>

#include "qkv/autograd/capture.h"
#include "qkv/ops/linear.h"

namespace qkv {

void AttentionConfig::check(const Section& where, Index width) const {
  const Index kv = n_kv_head ? n_kv_head : n_head;
  if (!d_head && width % n_head != 0)
    where.report("n_head", fmt::format("must divide d_model = {}; got {}", width, n_head));
  if (n_head % kv != 0) where.report("n_kv_head", fmt::format("must divide n_head = {}; got {}", n_head, kv));
  if (qkv == "identity" && d_head && d_head * n_head != width)
    where.report("d_head",
                 fmt::format("times n_head must be d_model = {} with qkv = \"identity\"; got {} x {}", width,
                             d_head, n_head));
  if (qkv == "identity" && kv != n_head)
    where.report("n_kv_head", fmt::format("must be n_head = {} with qkv = \"identity\"; got {}", n_head, kv));
}

static double scale_factor(const NameOrNumber& scale, Index d_head) {
  if (const double* number = std::get_if<double>(&scale)) return *number;
  return std::get<std::string>(scale) == "none" ? 1.0 : 1.0 / std::sqrt(static_cast<double>(d_head));
}

MultiHeadAttention::MultiHeadAttention(const Scope& s, const AttentionConfig& c, Index width)
    : learned(c.qkv == "learned"), options(c.n_head, c.d_head ? c.d_head : width / c.n_head), path(s.path()) {
  const Index D = c.d_head ? c.d_head : width / c.n_head, H = c.n_head, H_kv = c.n_kv_head ? c.n_kv_head : H;
  options.n_kv_head = H_kv;
  options.scale = scale_factor(c.scale, D);
  options.dropout = c.dropout;
  if (!learned) return;
  W_QKV = s.packed({"W_Q", "W_K", "W_V"}, {H * D, H_kv * D, H_kv * D}, {width}, init::xavier());
  if (c.bias) b_QKV = s.packed({"b_Q", "b_K", "b_V"}, {H * D, H_kv * D, H_kv * D}, {}, init::zeros());
  W_O = s.param("W_O", {width, H * D}, init::xavier());
  if (c.bias) b_O = s.param("b_O", {width});
}

Var MultiHeadAttention::operator()(const Var& x, const Context& context) const {
  LayerPath here(path);
  AttentionOptions o = options;
  o.mask = context.mask;
  Tensor weights;
  Capture* capture = x.is_symbolic() ? nullptr : Capture::wanting("weights");
  Tensor* wanted = capture ? &weights : nullptr;
  Var y;  // [B, T, H * D]
  if (learned) {
    Var qkv = linear(x, W_QKV, b_QKV);  // [B, T, (H + 2 H_kv) * D]
    if (Capture* c = Capture::wanting("qkv")) c->put(path, "qkv", qkv.value());
    y = attention_packed(qkv, o, wanted);
  } else {
    y = attention(x, x, x, o, wanted);
  }
  if (capture) capture->put(path, "weights", weights);
  return learned ? linear(y, W_O, b_O) : y;  // [B, T, d]
}

}  // namespace qkv
