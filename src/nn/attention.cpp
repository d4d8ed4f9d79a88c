#include "qkv/nn/attention.h"

#include <algorithm>
#include <cmath>

#include "autograd/trace.h"
#include "ops/cached_attention.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/norm.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

// The nearest numbers that do divide n: "4 or 8" for 32 and 5.
static std::string near_divisors(Index n, Index wrong) {
  Index below = std::min(wrong, n), above = wrong;
  while (n % below != 0) below--;
  while (above < n && n % above != 0) above++;
  return above < n ? fmt::format("{} or {}", below, above) : fmt::format("{}", below);
}

void AttentionConfig::check(const Section& where, Index width) const {
  const Index kv = n_kv_head ? n_kv_head : n_head;
  if (!d_head && width % n_head != 0)
    where.report("n_head", fmt::format("must divide d_model = {}; got {} (try {})", width, n_head,
                                       near_divisors(width, n_head)));
  if (n_head % kv != 0)
    where.report("n_kv_head", fmt::format("must divide n_head = {}; got {} (try {})", n_head, kv,
                                          near_divisors(n_head, kv)));
  if (qkv == Projections::identity && d_head && d_head * n_head != width)
    where.report(
        "d_head",
        fmt::format(
            "times n_head must be d_model = {} with qkv = \"identity\"; got {} x {} (leave d_head out)",
            width, d_head, n_head));
  if (qkv == Projections::identity && qk_norm != QkNorm::none)
    where.report("qk_norm",
                 fmt::format("must be \"none\" with qkv = \"identity\"; got \"{}\"", text_of(qk_norm)));
  if (window_pattern.empty() || window_pattern.find_first_not_of("SL") != std::string::npos)
    where.report("window_pattern",
                 "must be letters S (window) and L (whole text); got " + in_quotes(window_pattern));
  else if (window == 0 && window_pattern != "S")
    where.report("window_pattern",
                 "needs model.attention.window; got " + in_quotes(window_pattern) + " without");
  if (qkv == Projections::identity && kv != n_head)
    where.report("n_kv_head", fmt::format("must be n_head = {} with qkv = \"identity\"; got {}", n_head, kv));
}

AttentionOptions AttentionConfig::options(Index width) const {
  const Index D = head_width(width);
  AttentionOptions o(n_head, D);
  o.n_kv_head = n_kv_head ? n_kv_head : n_head;
  const double* number = std::get_if<double>(&scale);
  const bool none = !number && std::get<std::string>(scale) == "none";
  o.scale = number ? *number : none ? 1.0 : 1.0 / std::sqrt(double(D));
  o.softcap = softcap;
  o.dropout = dropout;
  return o;
}

MultiHeadAttention::MultiHeadAttention(const Scope& s, const AttentionConfig& c, Index width)
    : learned(c.qkv == Projections::learned),
      qk_norm(c.qk_norm != QkNorm::none),
      norm_eps(c.norm_eps),
      width(width),
      d_head(c.head_width(width)),
      window(c.window_of(0)),
      options(c.options(width)),
      path(s.path()) {
  const Index D = d_head, H = options.n_head, H_kv = options.n_kv_head;
  if (c.relative.buckets > 0) relative = RelativeBias(s / "relative", c.relative, H, width);
  if (!learned) return;
  W_QKV = s.packed({"W_Q", "W_K", "W_V"}, {H * D, H_kv * D, H_kv * D}, {width}, init::xavier());
  W_QKV.set_heads({H, H_kv, H_kv});
  if (c.bias) b_QKV = s.packed({"b_Q", "b_K", "b_V"}, {H * D, H_kv * D, H_kv * D}, {}, init::zeros());
  if (c.qk_norm == QkNorm::rms_gain) g_QK = s.packed({"g_Q", "g_K"}, {D, D}, {}, init::ones());
  W_O = s.param("W_O", {width, H * D}, init::xavier());
  if (c.bias) b_O = s.param("b_O", {width});
  if (c.relative.buckets == 0 && c.relative.max_distance > 0)
    a_K = s.param("a_K", {2 * c.relative.max_distance + 1, D}, init::xavier());
}

static AttentionConfig read_attention(const Section& section, Index width) {
  const AttentionConfig c = section.read<AttentionConfig>();
  c.check(section, width);
  return c;
}
MultiHeadAttention::MultiHeadAttention(const Scope& s, const Section& section, Index width)
    : MultiHeadAttention(s, read_attention(section, width), width) {}

// The new tokens of qkv [B, n, (H + 2 H_kv) * D] over all that the cache holds: [B, n, H * D].
static Tensor continued(const Tensor& qkv, KeyValueCache& cache, const AttentionOptions& o, Index D,
                        Tensor* weights) {
  return dispatch("attention", qkv.dtype(), [&](auto t) {
    using T = decltype(t);
    const Index ld = qkv.dim(2), n = qkv.dim(1), kv = o.n_kv_head * D;
    const T* q = qkv.data<T>();
    KeyValueCache::Entry& entry = cache.next();
    cache.append<T>(entry, q + o.n_head * D, q + o.n_head * D + kv, ld, n, o.n_kv_head, D);
    return cached_attention<T>(q, ld, qkv.dim(0), n, entry.keys, entry.values, cache.length(), o, weights);
  });
}

// The same from ops that a trace sees: keys and values [B, S, H_kv * D] are joined to those before.
static Var continued_in_trace(const Var& qkv, KeyValueCache& cache, const AttentionOptions& o, Index D) {
  const Index kv = o.n_kv_head * D;
  KeyValueCache::Entry& entry = cache.next();
  auto grow = [&](Tensor& past, Index begin) {
    const Var fresh = slice(qkv, -1, begin, begin + kv);
    past = past.defined() ? concat({Var(past), fresh}, 1).value() : fresh.value();
  };
  grow(entry.keys, o.n_head * D);
  grow(entry.values, o.n_head * D + kv);
  return attention(slice(qkv, -1, 0, o.n_head * D), entry.keys, entry.values, o);
}

namespace {

// ---- what listeners read and change

bool heard_in(const Var& x) {
  return Listener::any() && !x.is_symbolic();
}

bool wanted(const char* name) {
  return Capture::wanting(name) || Intervention::wanting(name);
}

// x [B, T, heads * D] passes as [B, T, heads, D].
Var pass_heads(const char* name, const Var& x, Index heads) {
  if (!wanted(name)) return x;
  return reshape(activation(name, reshape(x, {x.dim(0), x.dim(1), heads, -1})), x.shape());
}

struct Qkv {
  Var q, k, v;  // [B, T, H * D], [B, S, H_kv * D]
};

Qkv pass_inputs(const Qkv& in, const AttentionOptions& o) {
  return {pass_heads("queries", in.q, o.n_head), pass_heads("keys", in.k, o.n_kv_head),
          pass_heads("values", in.v, o.n_kv_head)};
}

// scale q k^T of each head, soft-capped, before any mask: [B, H, T, S].
Tensor scores(const Var& queries, const Var& keys, const AttentionOptions& o) {
  const Index B = queries.dim(0), T = queries.dim(1), S = keys.dim(1), H_kv = o.n_kv_head;
  const Var q = permute(reshape(queries, {B, T, o.n_head, -1}), {0, 2, 1, 3}),
            k = permute(reshape(keys, {B, S, H_kv, -1}), {0, 2, 3, 1});
  const Var products = matmul(reshape(q, {B, H_kv, o.n_head / H_kv, T, -1}), reshape(k, {B, H_kv, 1, -1, S}));
  const Var scores = reshape(products, {B, o.n_head, T, S}) * o.scale;
  return o.softcap > 0 ? softcap(scores, o.softcap).value() : scores.value();
}

// Offers what a capture of this thread wants of "scores", "scale", "softcap" and "bias", as
// MultiHeadAttention says. `o` holds the mask.
void offer_scores(const Qkv& in, const AttentionOptions& o) {
  auto offer = [&](const char* name, auto&& make) {
    if (Capture::wanting(name)) Capture::offer(name, make());
  };
  offer("scores", [&] { return scores(in.q, in.k, o); });
  offer("scale", [&] { return Tensor::scalar(o.scale, Dtype::f64); });
  offer("softcap", [&] { return Tensor::scalar(o.softcap, Dtype::f64); });
  offer("bias", [&] {
    const Shape shape{in.q.dim(0), o.n_head, in.q.dim(1), in.k.dim(1)};
    return masked_scores(Tensor::zeros(shape, in.q.dtype()), o.mask).value();
  });
}

// `fused` computes attention and maybe its weights; `in` is the same for who changes the weights. Passes
// "weights" [B, H, T, S] and "heads" [B, T, H, D].
template <class Fused>
Var pass_weights(const AttentionOptions& o, const Fused& fused, const std::function<Qkv()>& in) {
  Var y;
  if (Intervention::wanting("weights")) {
    const Qkv parts = in();
    y = attention_composed(parts.q, parts.k, parts.v, o, [&](const Var& weights) {
      return dropout(activation("weights", weights), o.dropout);
    });
  } else {
    const bool wanted = Capture::wanting("weights");
    Tensor weights;
    y = fused(wanted ? &weights : nullptr);
    if (wanted) Capture::offer("weights", weights);
  }
  return pass_heads("heads", y, o.n_head);
}

}  // namespace

Var MultiHeadAttention::forward(const Var& x, const Context& context) const {
  LayerPath here(path);
  AttentionOptions o = options;
  o.mask = context.mask;
  if (window > 0) o.mask.window = window;
  if (relative.defined()) o.mask.relative = relative.table(o.mask.causal);
  QKV_CHECK(learned || (!context.rotary.cos.defined() && !context.cache),
            "attention: rotary positions and decoding need qkv = \"learned\"; got \"identity\"");
  if (!learned) return attend(x, x, x, o);
  Var qkv = linear(x, W_QKV, b_QKV);  // [B, T, (H + 2 H_kv) * D]
  if (context.value_embedding.defined())
    qkv = mix(qkv, context.value_embedding, context.value_lambdas, (o.n_head + o.n_kv_head) * d_head);
  if (qk_norm) qkv = qkv::qk_norm(qkv, g_QK, d_head, o.n_head, o.n_kv_head, norm_eps);
  if (context.rotary.cos.defined()) {  // queries and keys, not values
    RotaryOptions turned(o.n_head + o.n_kv_head, d_head);
    turned.interleaved = context.interleaved;
    qkv = rotary(qkv, context.rotary, turned);
  }
  const Index end_q = o.n_head * d_head, end_k = end_q + o.n_kv_head * d_head;
  auto parts = [&]() -> Qkv {
    return {slice(qkv, -1, 0, end_q), slice(qkv, -1, end_q, end_k), slice(qkv, -1, end_k, qkv.dim(2))};
  };
  const bool heard = heard_in(x);
  if (heard) {
    qkv = activation("qkv", qkv);
    if (wanted("queries") || wanted("keys") || wanted("values")) {
      const Qkv passed = pass_inputs(parts(), o);
      if (Intervention::current()) qkv = concat({passed.q, passed.k, passed.v}, -1);
    }
  }
  if (a_K.defined())  // scale q_t . a_d for each distance d: [B, T, H, 2 k + 1], never the square
    o.mask.relative =
        linear(reshape(slice(qkv, -1, 0, end_q), {x.dim(0), x.dim(1), o.n_head, d_head}), a_K) * o.scale;
  auto fused = [&](Tensor* weights) {
    return !context.cache     ? attention_packed(qkv, o, weights)
           : Trace::current() ? continued_in_trace(qkv, *context.cache, o, d_head)
                              : Var(continued(qkv.value(), *context.cache, o, d_head, weights));
  };
  if (!heard) return linear(fused(nullptr), W_O, b_O);  // [B, T, d]
  QKV_CHECK(!context.cache || !Intervention::wanting("weights"),
            "intervention: \"weights\" can be changed where a text is read as a whole; got decoding");
  if (Capture::current() && !context.cache) offer_scores(parts(), o);
  return linear(pass_weights(o, fused, parts), W_O, b_O);
}

Var attend(const Var& q, const Var& k, const Var& v, const AttentionOptions& o) {
  if (!heard_in(q)) return attention(q, k, v, o);
  const Qkv in = pass_inputs({q, k, v}, o);
  if (q.dim(1) == k.dim(1) && k.dim(2) == v.dim(2)) offer_scores(in, o);  // else it decodes, or has a memory
  return pass_weights(
      o, [&](Tensor* weights) { return attention(in.q, in.k, in.v, o, weights); }, [&] { return in; });
}

CrossAttention::CrossAttention(const Scope& s, const AttentionConfig& c, Index width, Index memory_width)
    : options(c.options(width)), qk_norm(c.qk_norm != QkNorm::none), norm_eps(c.norm_eps), path(s.path()) {
  const Index queries = options.n_head * c.head_width(width), keys = options.n_kv_head * c.head_width(width);
  W_Q = s.param("W_Q", {queries, width}, init::xavier());
  W_K = s.param("W_K", {keys, memory_width}, init::xavier());
  W_V = s.param("W_V", {keys, memory_width}, init::xavier());
  W_Q.set_heads({options.n_head}), W_K.set_heads({options.n_kv_head}), W_V.set_heads({options.n_kv_head});
  W_O = s.param("W_O", {width, queries}, init::xavier());
  if (c.qk_norm == QkNorm::rms_gain) {
    g_Q = s.param("g_Q", {c.head_width(width)}, init::ones());
    g_K = s.param("g_K", {c.head_width(width)}, init::ones());
  }
  if (!c.bias) return;
  b_Q = s.param("b_Q", {queries});
  b_K = s.param("b_K", {keys});
  b_V = s.param("b_V", {keys});
  b_O = s.param("b_O", {width});
}

Var CrossAttention::operator()(const Var& x, const Context& context) const {
  LayerPath here(path);
  QKV_CHECK(context.memory.defined() || context.cache, "cross-attention: there must be a memory; got none");
  AttentionOptions o = options;
  o.mask.key_keep = context.memory_keep;
  KeyValueCache::Entry* entry = context.cache ? &context.cache->next() : nullptr;
  Var k, v;  // [B, S, H_kv * D]
  if (entry && entry->keys.defined()) {
    k = entry->keys, v = entry->values;
  } else {
    k = linear(context.memory, W_K, b_K), v = linear(context.memory, W_V, b_V);
    if (qk_norm) k = qkv::qk_norm(k, g_K, k.dim(2) / o.n_kv_head, o.n_kv_head, 0, norm_eps);
    if (entry) entry->keys = k.value(), entry->values = v.value();
  }
  Var q = linear(x, W_Q, b_Q);  // [B, T, H * D]
  if (qk_norm) q = qkv::qk_norm(q, g_Q, q.dim(2) / o.n_head, o.n_head, 0, norm_eps);
  return activation("out", linear(attend(q, k, v, o), W_O, b_O));  // [B, T, d]
}

}  // namespace qkv
