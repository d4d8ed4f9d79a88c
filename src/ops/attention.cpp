#include "qkv/ops/attention.h"

#include <cmath>

#include "attention_kernel.h"
#include "autograd/trace.h"
#include "ops/cached_attention.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/base/threads.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/bf16.h"

namespace qkv {
using namespace attention_kernel;
namespace {

void check_masks(GradSuite& g, bool packed);
const Op kAttention("attention", [](GradSuite& g) { check_masks(g, false); });
const Op kAttentionPacked("attention_packed", [](GradSuite& g) { check_masks(g, true); });

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

void check_masks(GradSuite& g, bool packed) {
  struct Case {
    const char* label;
    Index H, H_kv, T, S;
    AttentionMask mask = {};
    Index D_v = 2;
    double softcap = 0;
  };
  const AttentionMask causal{true, {}, {}, {}, {}};
  const AttentionMask all{true, {}, g.ints({2, 2}, {1, 0, 0, 1}), g.normal({2, 2}), g.uniform({2}, 0.1, 1.0)};
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
      {"alibi", 2, 2, 2, 3, {false, {}, {}, {}, g.uniform({2}, 0.1, 1.0)}},
      {"all", 2, 1, 2, 2, all, 3, 2.0},
      {"window", 2, 1, 5, 5, {true, {}, g.ints({5, 5}, window), {}, {}}},
      {"no key", 2, 2, 3, 3, {false, g.ints({2, 3}, {0, 0, 0, 1, 0, 0}), {}, {}, {}}},
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
      if (packed && c.T == c.S && c.D_v == D)
        g.check(label, {g.normal({B, c.T, (c.H + 2 * c.H_kv) * D})}, [=](const Vars& in) {
          const UseBlocks blocks({size, size});
          return attention_packed(in[0], o);
        });
      if (!packed)
        g.check(
            label,
            {g.normal({B, c.T, c.H * D}), g.normal({B, c.S, c.H_kv * D}), g.normal({B, c.S, c.H_kv * c.D_v})},
            [=](const Vars& in) {
              const UseBlocks blocks({size, size});
              return attention(in[0], in[1], in[2], o);
            },
            [=](const Vars& in) { return attention_composed(in[0], in[1], in[2], o); });
    }
  }
}

void note(const AttentionOptions& o) {
  const AttentionMask& m = o.mask;
  Note()("n_head", o.n_head)("n_kv_head", o.n_kv_head)("scale", o.scale)("softcap", o.softcap)(
      "causal", m.causal)("key_keep", m.key_keep)("keep", m.keep)("bias", m.bias)("slopes", m.slopes);
}

void check_heads(const AttentionOptions& o) {
  QKV_CHECK(o.n_head > 0 && o.n_kv_head > 0 && o.n_head % o.n_kv_head == 0,
            "attention: n_head must be a multiple of n_kv_head; got {} and {}", o.n_head, o.n_kv_head);
}

}  // namespace

AttentionOptions::AttentionOptions(Index n_head, Index d_head)
    : n_head(n_head), n_kv_head(n_head), scale(1.0 / std::sqrt(double(d_head))) {}

Var masked_scores(Var scores, const AttentionMask& m) {
  const Index H = scores.dim(1), T = scores.dim(2), S = scores.dim(3);
  auto per_head = [](const Tensor& t) {  // [B, T, S] -> [B, 1, T, S]
    return t.rank() == 3 ? t.reshape({t.dim(0), 1, t.dim(1), t.dim(2)}) : t;
  };
  if (m.bias.defined()) scores = scores + per_head(m.bias);
  if (m.slopes.defined()) {
    Tensor distance = Tensor::empty({T, S}, Dtype::f64);
    for (Index i = 0; i < T * S; i++) distance.data<double>()[i] = double(std::abs(i / S + S - T - i % S));
    scores = scores - m.slopes.reshape({H, 1, 1}) * Var(distance.to(scores.dtype()));
  }
  auto see = [&](const Tensor& keep) {
    scores = where(keep, scores, Tensor::scalar(-std::numeric_limits<double>::infinity(), scores.dtype()));
  };
  if (m.keep.defined()) see(per_head(m.keep));
  if (m.key_keep.defined()) see(m.key_keep.reshape({scores.dim(0), 1, 1, S}));
  if (m.causal) see(tril(Tensor::full({T, S}, 1, Dtype::i32), S - T).value());
  return scores;
}

// The definition from separate ops.
Var attention_composed(const Var& q, const Var& k, const Var& v, const AttentionOptions& o,
                       const Tensor& dropped) {
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
  const Var weights = dropped.defined() ? softmax(scores) * dropped : softmax(scores);
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
    return record(
        kAttention, {q, k, v}, y,
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
          Attention<T>(p, rows(p, vq, vk, vv), kept).backward(y.data<T>(), dy.data<T>(), out, T(beta_q), 1);
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
    return record(kAttentionPacked, {qkv}, y, [=, value = qkv.value()](const Tensor& dy, Sink& dx) {
      Sink::Buffer d = dx.buffer(0);
      Attention<T>(p, rows(p, value.template data<T>()), kept)
          .backward(y.template data<T>(), dy.data<T>(), rows(p, d.gradient.template data<T>()), T(d.beta),
                    T(d.beta));
    });
  });
}

// ---- over a cache

namespace {

// out[d] = sum over s of a[s] v[s, d]: the sums of up to four batches of columns stay in registers.
template <class T>
void weighted_sum(Index S, Index D, const T* a, const T* v, T* out) {
  using Batch = simd::Batch<T>;
  constexpr Index width = simd::kWidth<T>;
  Index d = 0;
  auto columns = [&](auto count) {
    constexpr Index N = decltype(count)::value;
    for (; d + N * width <= D; d += N * width) {
      Batch sum[std::size_t(N)];
      for (Batch& each : sum) each = Batch(T(0));
      for (Index s = 0; s < S; s++)
        for (Index i = 0; i < N; i++)
          sum[i] = xsimd::fma(Batch(a[s]), Batch(xsimd::load_unaligned(v + s * D + d + i * width)), sum[i]);
      for (Index i = 0; i < N; i++) sum[i].store_unaligned(out + d + i * width);
    }
  };
  columns(std::integral_constant<Index, 4>());
  columns(std::integral_constant<Index, 2>());
  columns(std::integral_constant<Index, 1>());
  for (; d < D; d++) {
    T sum = 0;
    for (Index s = 0; s < S; s++) sum += a[s] * v[s * D + d];
    out[d] = sum;
  }
}

}  // namespace

template <class T>
Tensor cached_attention(const T* q, Index ld, Index B, Index n, const Tensor& keys, const Tensor& values,
                        Index past, AttentionOptions o, Tensor* weights) {
  const Index H = o.n_head, H_kv = o.n_kv_head, capacity = keys.dim(2), D = keys.dim(3), S = past + n;
  const Dtype dtype = DtypeOf<T>::value;
  QKV_CHECK(keys.shape() == values.shape() && keys.dim(0) == B && keys.dim(1) == H_kv && S <= capacity,
            "cached_attention: keys and values must be [{}, {}, at least {}, D]; got {}, {}", B, H_kv, S,
            keys.shape(), values.shape());
  const Tensor slopes = o.mask.slopes;
  o.mask = {};
  o.mask.causal = true, o.mask.slopes = slopes;
  const attention_kernel::AttentionShape shape(B, n, S, D, D, dtype, o);
  Tensor y = Tensor::empty({B, n, H * D}, dtype), scores = Tensor::empty({B, H, S + D}, dtype);
  if (weights) *weights = Tensor::empty({B, H, n, S}, dtype);
  auto one_head = [&](Index b, Index h) {
    const Index head = (b * H_kv + h / (H / H_kv)) * capacity * D;
    const T *k = keys.data<T>() + head, *v = values.data<T>() + head;
    T* own = scores.data<T>() + (b * H + h) * (S + D);
    for (Index t = 0; t < n; t++) {
      const Index seen = past + t + 1;
      T *a = weights ? weights->data<T>() + ((b * H + h) * n + t) * S : own, *query = own + S;
      std::copy_n(q + (b * n + t) * ld + h * D, D, query);
      bf16::round_if_chosen(D, query);
      gemm_kernel::dots<T>(1, seen, D, query, D, k, D, {a, seen, T(o.scale), 0, a, seen});
      attention_kernel::score(shape, b, h, t, 0, seen, a);
      simd::softmax_row(seen, a, a);
      std::fill(a + seen, a + S, T(0));
      if (weights) std::copy_n(a, seen, own);
      bf16::round_if_chosen(seen, own);
      weighted_sum(seen, D, own, v, y.data<T>() + (b * n + t) * H * D + h * D);
    }
  };
  // Keys and values of many tokens are read by all workers; a head is always of one task.
  constexpr Index kMany = 32 * 1024;
  if (n * S * D * H >= kMany)
    pool().run(int(B * H), [&](int task, int) { one_head(task / H, task % H); });
  else
    for (Index head = 0; head < B * H; head++) one_head(head / H, head % H);
  return y;
}
template Tensor cached_attention(const float*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 AttentionOptions, Tensor*);
template Tensor cached_attention(const double*, Index, Index, Index, const Tensor&, const Tensor&, Index,
                                 AttentionOptions, Tensor*);

}  // namespace qkv
