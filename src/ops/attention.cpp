#include "qkv/ops/attention.h"

#include <cmath>

#include "attention_kernel.h"
#include "autograd/trace.h"
#include "ops/cached_attention.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
using namespace attention_kernel;
namespace {

// The result without elements, and what is kept.
Tensor symbolic(const AttentionShape& p, Dtype dtype) {
  Kept(p, dtype, true, nullptr);
  return Tensor::symbolic({p.B, p.T, p.H * p.D_v}, dtype);
}

Kept keep(const AttentionShape& p, Dtype dtype) {
  Tape* tape = Tape::current();
  return Kept(p, dtype, false, p.dropout > 0 && tape ? tape->next_stream() : nullptr);
}

template <class T>
Tensor value_of(const AttentionShape& p, const HeadRows<const T>& in, const Kept& kept, Tensor* weights) {
  const Dtype dtype = DtypeOf<T>::value;
  const Attention<T> attention(p, in, kept);
  Tensor y = Tensor::empty({p.B, p.T, p.H * p.D_v}, dtype);
  attention.forward(y.data<T>());
  if (weights) {
    *weights = Tensor::empty({p.B, p.H, p.T, p.S}, dtype);
    attention.show(weights->data<T>());
  }
  return y;
}

// Calls run(where backward adds the gradient of mask.relative, or null). Examples that share a table have a
// sum each, which are then added in their order, whatever thread made them.
template <class T, class F>
void with_relative(const AttentionShape& p, Sink& dx, int input, const F& run) {
  if (!p.mask.relative.defined() || !dx.needs(input)) return run(static_cast<T*>(nullptr));
  Tensor all = dx.zeroed(input);
  if (all.rank() == 4) return run(all.data<T>());
  const Tensor each = Tensor::zeros({p.B, p.H, p.R}, all.dtype());
  run(const_cast<T*>(each.data<T>()));
  for (Index b = 0; b < p.B; b++) simd::add(all.size(), all.data<T>(), each.data<T>() + b * all.size());
}

void check_masks(GradSuite& g, bool packed) {
  struct Case {
    const char* label;
    Index H, H_kv, T, S;
    AttentionMask mask = {};
    Index D_v = 2;
    double softcap = 0;
    Shape relative = {};  // of the table of distances
  };
  const AttentionMask causal{true, {}, {}, {}, {}};
  const AttentionMask all{true, {}, g.ints({2, 2}, {1, 0, 0, 1}), g.normal({2, 2}), {}};
  const AttentionMask near{false, {}, {}, {}, {}, {}, 2}, last{true, {}, {}, {}, {}, {}, 2};
  std::vector<std::int32_t> window;  // the last two keys
  for (int i = 0; i < 25; i++) window.push_back(i / 5 - i % 5 < 2);
  const Case cases[] = {
      {"one head", 1, 1, 3, 3},
      {"two heads", 2, 2, 3, 3},
      {"causal", 2, 2, 4, 4, causal},
      {"padding", 2, 2, 3, 3, {false, g.ints({2, 3}, {1, 1, 0, 1, 0, 0}), {}, {}, {}}},
      {"fully masked row", 1, 1, 2, 2, {false, {}, g.ints({2, 2}, {0, 0, 1, 1}), {}, {}}},
      {"grouped", 4, 2, 3, 3},
      {"length 1", 2, 2, 1, 1},
      {"cross", 2, 1, 2, 3, {false, g.ints({2, 3}, {1, 1, 1, 1, 0, 1}), {}, {}, {}}},
      {"causal with past", 1, 1, 2, 4, causal},
      {"wide values", 2, 1, 3, 3, {}, 5},
      {"softcap", 2, 1, 3, 3, causal, 2, 0.8},
      {"bias", 2, 2, 3, 3, {false, {}, {}, g.normal({2, 2, 3, 3}), {}}},
      {"relative", 2, 2, 2, 3, {}, 2, 0, {2, 7}},
      {"relative, clipped", 2, 1, 4, 4, causal, 2, 0, {2, 3}},
      {"relative, per query", 2, 1, 4, 4, causal, 2, 0, {2, 4, 2, 3}},
      {"relative, per query, with past", 2, 2, 2, 4, causal, 2, 0.8, {2, 2, 2, 5}},
      {"last two", 2, 1, 5, 5, last},
      {"near", 2, 2, 5, 5, near},
      {"last two, with past", 1, 1, 3, 5, last, 2, 0.8, {1, 5}},
      {"all", 2, 1, 2, 2, all, 3, 2.0, {2, 3}},
      {"window", 2, 1, 5, 5, {true, {}, g.ints({5, 5}, window), {}, {}}},
      {"no key", 2, 2, 3, 3, {false, g.ints({2, 3}, {0, 0, 0, 1, 0, 0}), {}, {}, {}}},
      {"documents", 2, 1, 5, 5, {true, {}, {}, {}, {}, g.ints({2, 5}, {0, 0, 2, 2, 2, 0, 1, 1, 3, 4})}},
      {"documents, not causal", 1, 1, 2, 4, {false, {}, {}, {}, {}, g.ints({2, 2}, {0, 3, 4, 1})}},
  };
  for (const Case& c : cases) {
    const Index D = 2, B = 2;
    AttentionOptions o(c.H, D);
    o.n_kv_head = c.H_kv;
    o.mask = c.mask;
    o.softcap = c.softcap;
    // Once in one block, whose weights are kept, and once in small ones that are computed again.
    for (const Index size : {512, 2}) {
      const std::string label = c.label + std::string(size == 2 ? ", in blocks" : "");
      std::vector<Tensor> inputs{g.normal({B, c.T, c.H * D}), g.normal({B, c.S, c.H_kv * D}),
                                 g.normal({B, c.S, c.H_kv * c.D_v})};
      if (packed) inputs = {g.normal({B, c.T, (c.H + 2 * c.H_kv) * D})};
      const std::size_t table = inputs.size();
      if (c.relative.rank() > 0) inputs.push_back(g.normal(c.relative));
      auto options = [=](const Vars& in) {
        AttentionOptions own = o;
        if (in.size() > table) own.mask.relative = in[table];
        return own;
      };
      if (packed && c.T == c.S && c.D_v == D)
        g.check(label, inputs, [=](const Vars& in) {
          const UseBlocks blocks({size, size});
          return attention_packed(in[0], options(in));
        });
      if (!packed)
        g.check(
            label, inputs,
            [=](const Vars& in) {
              const UseBlocks blocks({size, size});
              return attention(in[0], in[1], in[2], options(in));
            },
            [=](const Vars& in) { return attention_composed(in[0], in[1], in[2], options(in)); });
    }
  }
}

const Op kAttention("attention", [](GradSuite& g) { check_masks(g, false); });
const Op kAttentionPacked("attention_packed", [](GradSuite& g) { check_masks(g, true); });

void note(const AttentionOptions& o) {
  const AttentionMask& m = o.mask;
  Note()("n_head", o.n_head)("n_kv_head", o.n_kv_head)("scale", o.scale)("softcap", o.softcap)(
      "causal", m.causal)("window", m.window)("key_keep", m.key_keep)("keep", m.keep)("bias", m.bias)(
      "starts", m.starts);
}

void check_heads(const AttentionOptions& o) {
  QKV_CHECK(o.n_head > 0 && o.n_kv_head > 0 && o.n_head % o.n_kv_head == 0,
            "attention: n_head must be a multiple of n_kv_head; got {} and {}", o.n_head, o.n_kv_head);
}

}  // namespace

AttentionOptions::AttentionOptions(Index n_head, Index d_head)
    : n_head(n_head), n_kv_head(n_head), scale(1.0 / std::sqrt(double(d_head))) {}

Var masked_scores(Var scores, const AttentionMask& m) {
  const Index T = scores.dim(2), S = scores.dim(3);
  auto per_head = [](const Tensor& t) {  // [B, T, S] -> [B, 1, T, S]
    return t.rank() == 3 ? t.reshape({t.dim(0), 1, t.dim(1), t.dim(2)}) : t;
  };
  if (m.bias.defined()) scores = scores + per_head(m.bias);
  Tensor distance = Tensor::empty({T, S}, Dtype::i32);  // of the key from the query
  for (Index i = 0; i < T * S; i++) distance.data<std::int32_t>()[i] = std::int32_t(i % S - (i / S + S - T));
  if (m.relative.defined()) {
    const auto last = std::int32_t(m.relative.dim(-1) - 1);
    const bool shared = m.relative.rank() == 2;
    Tensor column = Tensor::empty(shared ? Shape{T, S} : scores.shape(), Dtype::i32);
    for (Index i = 0; i < column.size(); i++)
      column.data<std::int32_t>()[i] =
          std::clamp(distance.data<std::int32_t>()[i % (T * S)] + last / 2, 0, last);
    scores = scores + (shared ? index_select(m.relative, column, 1)
                              : take_along(permute(m.relative, {0, 2, 1, 3}), column, 3));
  }
  auto see = [&](const Tensor& keep) {
    scores = where(keep, scores, Tensor::scalar(-std::numeric_limits<double>::infinity(), scores.dtype()));
  };
  if (m.keep.defined()) see(per_head(m.keep));
  if (m.key_keep.defined()) see(m.key_keep.reshape({scores.dim(0), 1, 1, S}));
  if (m.causal) see(tril(Tensor::full({T, S}, 1, Dtype::i32), S - T).value());
  if (m.window > 0) {
    std::int32_t* d = distance.data<std::int32_t>();
    for (Index i = 0; i < T * S; i++) d[i] = std::abs(d[i]) < m.window;
    see(distance);
  }
  if (m.starts.defined()) {
    Tensor own = Tensor::empty({scores.dim(0), 1, T, S}, Dtype::i32);
    for (Index i = 0; i < own.size(); i++)
      own.data<std::int32_t>()[i] = i % S >= m.starts.data<std::int32_t>()[i / S];
    see(own);
  }
  return scores;
}

// The definition from separate ops.
Var attention_composed(const Var& q, const Var& k, const Var& v, const AttentionOptions& o,
                       const std::function<Var(const Var&)>& change) {
  const Index B = q.dim(0), T = q.dim(1), S = k.dim(1), group = o.n_head / o.n_kv_head;
  auto heads = [](const Var& x, Index H) {  // [B, T, H D] -> [B, H, T, D]
    return permute(reshape(x, {x.dim(0), x.dim(1), H, -1}), {0, 2, 1, 3});
  };
  auto repeated = [&](const Var& x) {  // each head for its group of queries
    const Var h = heads(x, o.n_kv_head);
    const Var wide =
        broadcast_to(reshape(h, {B, o.n_kv_head, 1, S, -1}), {B, o.n_kv_head, group, S, h.dim(3)});
    return reshape(wide, {B, o.n_head, S, -1});
  };
  Var scores = matmul(heads(q, o.n_head), transpose(repeated(k))) * o.scale;
  if (o.softcap > 0) scores = tanh(scores / o.softcap) * o.softcap;
  scores = masked_scores(scores, o.mask);
  const Var weights = change ? change(softmax(scores)) : softmax(scores);
  return reshape(permute(matmul(weights, repeated(v)), {0, 2, 1, 3}), {B, T, -1});
}

Var attention(const Var& q, const Var& k, const Var& v, const AttentionOptions& o, Tensor* weights) {
  check_heads(o);
  QKV_CHECK(
      q.rank() == 3 && k.rank() == 3 && v.rank() == 3 && q.dim(0) == k.dim(0) && q.dim(0) == v.dim(0) &&
          k.dim(1) == v.dim(1) && q.dim(2) % o.n_head == 0 && v.dim(2) % o.n_kv_head == 0 &&
          k.dim(2) * o.n_head == q.dim(2) * o.n_kv_head,
      "attention: q must be [B, T, {0} * D], k [B, S, {1} * D], v [B, S, {1} * D_v]; got q {2}, k {3}, v {4}",
      o.n_head, o.n_kv_head, q.shape(), k.shape(), v.shape());
  const AttentionShape p(q.dim(0), q.dim(1), k.dim(1), q.dim(2) / o.n_head, v.dim(2) / o.n_kv_head, q.dtype(),
                         o);
  if (q.is_symbolic()) return symbolic(p, q.dtype());
  return dispatch("attention", q.dtype(), [&](auto t) {
    using T = decltype(t);
    auto rows = [](const AttentionShape& p, const Tensor& q, const Tensor& k, const Tensor& v) {
      return HeadRows<const T>{q.data<T>(), k.data<T>(),  v.data<T>(),
                               p.H * p.D,   p.H_kv * p.D, p.H_kv * p.D_v};
    };
    const Kept kept = keep(p, q.dtype());
    const Tensor y = value_of<T>(p, rows(p, q.value(), k.value(), v.value()), kept, weights);
    note(o);
    const Input inputs[] = {q, k, v, o.mask.relative};
    return record(kAttention, inputs, o.mask.relative.defined() ? 4 : 3, y,
                  [=, vq = q.value(), vk = k.value(), vv = v.value()](const Tensor& dy, Sink& dx) {
                    // Buffers of k and v may be in different states, so both start from zero when new.
                    Tensor dq, dk, dv;
                    HeadRows<T> out{nullptr, nullptr, nullptr, p.H * p.D, p.H_kv * p.D, p.H_kv * p.D_v};
                    double beta_q = 0;
                    if (dx.needs(1)) dk = dx.zeroed(1), out.k = dk.data<T>();
                    if (dx.needs(2)) dv = dx.zeroed(2), out.v = dv.data<T>();
                    if (dx.needs(0)) {
                      Sink::Buffer b = dx.buffer(0);
                      dq = b.gradient, beta_q = b.beta, out.q = dq.data<T>();
                    }
                    with_relative<T>(p, dx, 3, [&](T* relative) {
                      Attention<T>(p, rows(p, vq, vk, vv), kept)
                          .backward(y.data<T>(), dy.data<T>(), out, T(beta_q), 1, relative);
                    });
                  });
  });
}

Var attention_packed(const Var& qkv, const AttentionOptions& o, Tensor* weights) {
  check_heads(o);
  const Index heads = o.n_head + 2 * o.n_kv_head;
  QKV_CHECK(qkv.rank() == 3 && qkv.dim(2) % heads == 0,
            "attention_packed: qkv must be [B, T, {} * D]; got {}", heads, qkv.shape());
  const Index B = qkv.dim(0), length = qkv.dim(1), D = qkv.dim(2) / heads;
  const AttentionShape p(B, length, length, D, D, qkv.dtype(), o);
  if (qkv.is_symbolic()) return symbolic(p, qkv.dtype());
  return dispatch("attention", qkv.dtype(), [&](auto t) {
    using T = decltype(t);
    auto rows = [](const AttentionShape& p, auto* base) {
      const Index ld = (p.H + 2 * p.H_kv) * p.D;
      return HeadRows<std::remove_reference_t<decltype(*base)>>{
          base, base + p.H * p.D, base + (p.H + p.H_kv) * p.D, ld, ld, ld};
    };
    const Kept kept = keep(p, qkv.dtype());
    const Tensor y = value_of<T>(p, rows(p, qkv.value().data<T>()), kept, weights);
    note(o);
    const Input inputs[] = {qkv, o.mask.relative};
    return record(kAttentionPacked, inputs, o.mask.relative.defined() ? 2 : 1, y,
                  [=, value = qkv.value()](const Tensor& dy, Sink& dx) {
                    HeadRows<T> out{};
                    double beta = 0;
                    if (dx.needs(0)) {
                      Sink::Buffer d = dx.buffer(0);
                      out = rows(p, d.gradient.template data<T>()), beta = d.beta;
                    }
                    with_relative<T>(p, dx, 1, [&](T* relative) {
                      Attention<T>(p, rows(p, value.template data<T>()), kept)
                          .backward(y.template data<T>(), dy.data<T>(), out, T(beta), T(beta), relative);
                    });
                  });
  });
}

}  // namespace qkv
