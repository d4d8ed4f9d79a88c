#include "qkv/ops/attention.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/cached_attention.h"
#include "qkv/base/random.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

Tensor bits(const Shape& shape, std::uint64_t seed) {
  Tensor t = Tensor::empty(shape, Dtype::i32);
  Stream stream(seed, "attention test bits");
  for (Index i = 0; i < t.size(); i++) t.data<std::int32_t>()[i] = stream.uniform64() < 0.7;
  return t;
}

}  // namespace

TEST_CASE(
    "fused attention agrees with the same from separate ops, over masks, bias, softcap, heads and widths") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (Index n_kv_head : {1, 2, 4})
      for (Index T : {1, 5, 70})
        for (int features = 0; features < 32; features++) {
          const Index B = 2, H = 4, D = 8, D_v = 6, S = T + 3;
          AttentionOptions o(H, D);
          o.n_kv_head = n_kv_head;
          o.mask.causal = features & 1;
          if (features & 2) o.mask.key_keep = bits({B, S}, 1);
          if (features & 4)
            o.mask.keep = T == 5 ? bits({B, T, S}, 2) : T == 1 ? bits({T, S}, 2) : bits({B, H, T, S}, 2);
          if (features & 8) o.mask.bias = normal({B, H, T, S}, dtype, 3);
          if (features & 16) o.softcap = 1.5;
          const Tensor upstream = normal({B, T, H * D_v}, dtype, 4);
          Tensor results[2][4];
          for (int k = 0; k < 2; k++) {
            Tape tape;
            const Var in[] = {tape.variable(normal({B, T, H * D}, dtype, 5)),
                              tape.variable(normal({B, S, n_kv_head * D}, dtype, 6)),
                              tape.variable(normal({B, S, n_kv_head * D_v}, dtype, 7))};
            const Var y = (k ? attention_composed
                             : [](const Var& a, const Var& b, const Var& c, const AttentionOptions& options) {
                                 return attention(a, b, c, options);
                               })(in[0], in[1], in[2], o);
            results[k][3] = y.value();
            Gradients g;
            tape.backward_from(y, upstream, g);
            for (int i = 0; i < 3; i++) results[k][i] = g.of(in[i]);
          }
          for (int i = 0; i < 4; i++) {
            double worst = 0;
            for (Index j = 0; j < results[0][i].size(); j++)
              worst = std::max(worst, std::abs(results[0][i].at(j) - results[1][i].at(j)));
            CAPTURE(features);
            CAPTURE(i);
            CHECK(worst < (dtype == Dtype::f32 ? 2e-5 : 1e-13));
          }
        }
}

TEST_CASE("attention names a bias or mask that does not fit") {
  AttentionOptions o(1, 2);
  const Var q = Tensor::zeros({1, 2, 2});
  o.mask.bias = Tensor::zeros({3, 2});
  CHECK_THROWS_WITH_AS(attention(q, q, q, o),
                       "attention: bias must be [2, 2], [1, 2, 2] or [1, 1, 2, 2]; got [3, 2]", Error);
  o.mask.bias = Tensor::zeros({2, 2}, Dtype::f64);
  CHECK_THROWS_WITH_AS(attention(q, q, q, o), "attention: bias must be f32; got f64", Error);
  o.mask.bias = Tensor();
  CHECK_THROWS_WITH_AS(
      attention(q, q, Tensor::zeros({1, 3, 2}), o),
      "attention: q must be [B, T, 1 * D], k [B, S, 1 * D], v [B, S, 1 * D_v]; got q [1, 2, 2], k "
      "[1, 2, 2], v [1, 3, 2]",
      Error);
}
