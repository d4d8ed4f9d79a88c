#include "qkv/ops/attention.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "ops/attention_scores.h"
#include "ops/cached_attention.h"
#include "qkv/base/random.h"
#include "tensor/pool.h"
#include "tensors.h"

using namespace qkv;
using attention_kernel::UseBlocks;
using namespace qkv::test;

namespace {

Tensor bits(const Shape& shape, std::uint64_t seed) {
  Tensor t = Tensor::empty(shape, Dtype::i32);
  Stream stream(seed, "attention test bits");
  for (Index i = 0; i < t.size(); i++) t.data<std::int32_t>()[i] = stream.uniform64() < 0.7;
  return t;
}

// Places where documents begin, not after each of [B, T] queries of S keys.
Tensor starts_of(Index B, Index T, Index S, std::uint64_t seed) {
  Tensor starts = Tensor::empty({B, T}, Dtype::i32);
  Stream stream(seed, "attention test documents");
  for (Index b = 0; b < B; b++)
    for (Index t = 0, begin = 0; t < T; t++) {
      if (stream.uniform64() < 0.1) begin = t + S - T;
      starts.data<std::int32_t>()[b * T + t] = static_cast<std::int32_t>(begin);
    }
  return starts;
}

struct Operands {
  Tensor q, k, v, upstream;
  Operands(Index B, Index T, Index S, const AttentionOptions& o, Index D, Index D_v, Dtype dtype)
      : q(normal({B, T, o.n_head * D}, dtype, 5)),
        k(normal({B, S, o.n_kv_head * D}, dtype, 6)),
        v(normal({B, S, o.n_kv_head * D_v}, dtype, 7)),
        upstream(normal({B, T, o.n_head * D_v}, dtype, 4)) {}
};
// The output and the gradients of q, k, v.
using Results = std::vector<Tensor>;

template <class F>
Results results(Tape& tape, const Operands& in, F f) {
  const Var q = tape.variable(in.q), k = tape.variable(in.k), v = tape.variable(in.v), y = f(q, k, v);
  Gradients g;
  tape.backward_from(y, in.upstream, g);
  return {y.value(), g.of(q), g.of(k), g.of(v)};
}
Results composed(const Operands& in, const AttentionOptions& o, const Tensor& dropped = {}) {
  Tape tape;
  std::function<Var(const Var&)> change;
  if (dropped.defined())
    change = [&](const Var& weights) {
      return weights * Var(dropped);
    };
  return results(tape, in, [&](auto q, auto k, auto v) { return attention_composed(q, k, v, o, change); });
}
Results fused(const Operands& in, const AttentionOptions& o, const Stream* stream = nullptr,
              Tensor* weights = nullptr) {
  auto f = [&](auto q, auto k, auto v) {
    return attention(q, k, v, o, weights);
  };
  if (!stream) {
    Tape tape;
    return results(tape, in, f);
  }
  Tape tape(*stream);
  return results(tape, in, f);
}
double apart(const Results& a, const Results& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); i++)
    for (Index j = 0; j < a[i].size(); j++) {
      const double difference = std::abs(a[i].at(j) - b[i].at(j));
      if (!(difference <= worst) && !std::isnan(worst)) worst = difference;
    }
  return worst;
}

}  // namespace

TEST_CASE(
    "fused attention agrees with the same from separate ops, over masks, bias, softcap, heads and widths, "
    "with kept "
    "weights and with blocks that are computed again") {
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
          if (features & 16) o.softcap = 1.5, o.mask.relative = normal({H, 2 * S - 1}, dtype, 8);
          const Operands in(B, T, S, o, D, D_v, dtype);
          const Results expected = composed(in, o);
          CAPTURE(features);
          CHECK(apart(fused(in, o), expected) < (dtype == Dtype::f32 ? 2e-5 : 1e-13));
          const UseBlocks blocks({16, 24});
          CHECK(apart(fused(in, o), expected) < (dtype == Dtype::f32 ? 2e-5 : 1e-13));
        }
}

TEST_CASE(
    "attention to many keys agrees with separate ops: blocks that are masked, causal, or no multiples") {
  const Index B = 2, H = 2, D = 4, T = 150, S = 1100;
  AttentionOptions o(H, D);
  o.n_kv_head = 1;
  Tensor window = Tensor::zeros({T, S}, Dtype::i32), padding = Tensor::zeros({B, S}, Dtype::i32);
  for (Index t = 0; t < T; t++)
    for (Index s = 0; s < S; s++) window.data<std::int32_t>()[t * S + s] = s > 4 * t && s < 4 * t + 100;
  for (Index s = 0; s < S; s++)
    padding.data<std::int32_t>()[s] = s >= 530 && s < 700;  // nothing in the second row
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (int mask = 0; mask < 8; mask++) {
      CAPTURE(mask);
      o.mask = {};
      o.mask.causal = mask & 1;
      if (mask & 2) o.mask.keep = window;
      if (mask & 4) o.mask.key_keep = padding;
      const Operands in(B, T, S, o, D, D, dtype);
      CHECK(apart(fused(in, o), composed(in, o)) < (dtype == Dtype::f32 ? 2e-5 : 1e-13));
    }
}

TEST_CASE("attention within documents agrees with separate ops, with other masks, in one block and in many") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const auto& [T, S] : {std::pair<Index, Index>{5, 5}, {70, 73}, {150, 1100}, {700, 700}})
      for (int features = 0; features < 8; features++) {
        CAPTURE(T);
        CAPTURE(features);
        const Index B = 2, H = 2, D = 4;
        if (T == 700 && features > 1) continue;
        AttentionOptions o(H, D);
        o.n_kv_head = 1;
        o.mask.starts = starts_of(B, T, S, 9);
        o.mask.causal = features & 1;
        if (features & 2) o.mask.key_keep = bits({B, S}, 1);
        if (features & 4) o.softcap = 1.5, o.mask.keep = bits({T, S}, 2);
        const Operands in(B, T, S, o, D, D, dtype);
        const Results expected = composed(in, o);
        CHECK(apart(fused(in, o), expected) < (dtype == Dtype::f32 ? 2e-5 : 1e-13));
        const UseBlocks blocks({16, 24});
        CHECK(apart(fused(in, o), expected) < (dtype == Dtype::f32 ? 2e-5 : 1e-13));
      }
}

TEST_CASE(
    "tables of distances and windows agree with separate ops, gradients of the tables included, in one block "
    "and in "
    "many, for any number of threads") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const auto& [T, S] : {std::pair<Index, Index>{5, 5}, {70, 73}, {150, 1100}})
      for (int features = 0; features < 32; features++) {
        CAPTURE(T);
        CAPTURE(features);
        const Index B = 2, H = 4, D = 4, R = T == 5 ? 3 : 41;
        if (T == 150 && features % 3 > 0) continue;
        AttentionOptions o(H, D);
        o.n_kv_head = 2;
        o.mask.causal = features & 1;
        if (features & 2) o.mask.window = T == 5 ? 2 : 20;
        if (features & 8) o.mask.key_keep = bits({B, S}, 1), o.softcap = 1.5;
        if (features & 16) o.mask.starts = starts_of(B, T, S, 9);
        const Operands in(B, T, S, o, D, D, dtype);
        const Tensor table = normal(features & 4 ? Shape{B, T, H, R} : Shape{H, R}, dtype, 8);
        auto run = [&](auto f) {
          Tape tape;
          const Var q = tape.variable(in.q), k = tape.variable(in.k), v = tape.variable(in.v);
          AttentionOptions own = o;
          own.mask.relative = tape.variable(table);
          const Var y = f(q, k, v, own);
          Gradients g;
          tape.backward_from(y, in.upstream, g);
          return Results{y.value(), g.of(q), g.of(k), g.of(v), g.of(own.mask.relative)};
        };
        auto of_kernel = [](auto q, auto k, auto v, auto own) {
          return attention(q, k, v, own);
        };
        const Results expected =
            run([](auto q, auto k, auto v, auto own) { return attention_composed(q, k, v, own); });
        CHECK(apart(run(of_kernel), expected) < (dtype == Dtype::f32 ? 1e-4 : 1e-12));
        const UseBlocks blocks({16, 24});
        CHECK(apart(run(of_kernel), expected) < (dtype == Dtype::f32 ? 1e-4 : 1e-12));
        if (T < 150) continue;
        set_threads(1);
        const Results alone = run(of_kernel);
        for (const int threads : {2, 3}) {
          set_threads(threads);
          const Results shared = run(of_kernel);
          for (std::size_t i = 0; i < alone.size(); i++) CHECK(same_bits(alone[i], shared[i]));
        }
        set_threads(0);
      }
}

TEST_CASE("documents in one row have the outputs and gradients that they have alone") {
  const Index H = 2, D = 4, cuts[] = {0, 3, 4, 40, 90};
  AttentionOptions o(H, D);
  o.mask.causal = true;
  AttentionOptions packed = o;
  packed.mask.starts = Tensor::empty({1, 90}, Dtype::i32);
  for (int d = 0; d < 4; d++)
    for (Index t = cuts[d]; t < cuts[d + 1]; t++)
      packed.mask.starts.data<std::int32_t>()[t] = static_cast<std::int32_t>(cuts[d]);
  const Operands in(1, 90, 90, o, D, D, Dtype::f64);
  for (const Index size : {512, 16}) {
    const UseBlocks blocks({size, size});
    const Results together = fused(in, packed);
    for (int d = 0; d < 4; d++) {
      const Index begin = cuts[d], n = cuts[d + 1] - begin;
      auto part = [&](const Tensor& x) {
        return x.reshape({90, H * D}).rows(begin, n).reshape({1, n, H * D}).clone();
      };
      Operands alone = in;
      alone.q = part(in.q), alone.k = part(in.k), alone.v = part(in.v), alone.upstream = part(in.upstream);
      const Results own = fused(alone, o);
      for (std::size_t i = 0; i < 4; i++)
        for (Index j = 0; j < n * H * D; j++)
          CHECK(std::abs(own[i].at(j) - together[i].at(begin * H * D + j)) < 1e-14);
    }
  }
}

TEST_CASE("scores that grow from block to block, or are large, give finite weights that sum to one") {
  const Index S = 1500;
  AttentionOptions o(1, 1);
  Tensor k = Tensor::empty({1, S, 1}), q = Tensor::full({1, 1, 1}, 1.0), weights;
  for (Index s = 0; s < S; s++) k.data<float>()[s] = static_cast<float>(s) * 0.5f - 300.0f;
  const Tensor y = attention(q, k, Tensor::full({1, S, 1}, 2.0), o, &weights).value();
  CHECK(y.item() == doctest::Approx(2.0));
  double sum = 0;
  for (Index s = 0; s < S; s++) sum += weights.at(s);
  CHECK(sum == doctest::Approx(1.0));
  CHECK(weights.at(S - 1) == doctest::Approx(1 - std::exp(-0.5)));
  k.data<float>()[700] = NAN;
  CHECK(std::isnan(attention(q, k, Tensor::full({1, S, 1}, 2.0), o).value().item()));
}

TEST_CASE("dropout multiplies the weights with the mask of its stream, kept or computed again") {
  const Index B = 2, H = 4, D = 4, D_v = 3;
  for (const auto& [T, S] : {std::pair<Index, Index>{5, 7}, {70, 73}, {70, 700}})
    for (const bool causal : {false, true}) {
      AttentionOptions o(H, D);
      o.n_kv_head = 2;
      o.dropout = 0.3;
      o.mask.causal = causal;
      const Stream stream(5, "attention dropout");
      Tensor dropped = Tensor::empty({B, H, T, S}, Dtype::f64);
      {
        Tape tape(stream);
        keep_mask(*tape.next_stream(), 0, 0.3, dropped.data<double>(),
                  static_cast<std::size_t>(dropped.size()), 1 / 0.7);
      }
      const Operands in(B, T, S, o, D, D_v, Dtype::f64);
      const Results expected = composed(in, o, dropped);
      CHECK(apart(fused(in, o, &stream), expected) < 1e-13);
      const UseBlocks blocks({16, 24});
      CHECK(apart(fused(in, o, &stream), expected) < 1e-13);
    }
}

TEST_CASE("a capture of the weights changes no bit, and shows the weights before dropout") {
  for (const Index S : {60, 700}) {
    const Index B = 2, T = 60, H = 2, D = 4;
    AttentionOptions o(H, D);
    o.dropout = 0.2;
    o.mask.causal = true;
    o.mask.key_keep = bits({B, S}, 1);
    const Stream stream(5, "attention dropout");
    const Operands in(B, T, S, o, D, D, Dtype::f64);
    Tensor weights;
    const Results with = fused(in, o, &stream, &weights), without = fused(in, o, &stream);
    for (std::size_t i = 0; i < with.size(); i++) CHECK(same_bits(with[i], without[i]));
    // With the unit matrix as values, the output is the weights.
    Tensor values = Tensor::zeros({B, S, H * S}, Dtype::f64);
    for (Index b = 0; b < B; b++)
      for (Index s = 0; s < S; s++)
        for (Index h = 0; h < H; h++) values.data<double>()[((b * S + s) * H + h) * S + s] = 1;
    o.dropout = 0;
    const Tensor y = attention_composed(in.q, in.k, values, o).value();  // [B, T, H * S]
    double worst = 0;
    for (Index b = 0; b < B; b++)
      for (Index h = 0; h < H; h++)
        for (Index t = 0; t < T; t++)
          for (Index s = 0; s < S; s++)
            worst = std::max(worst, std::abs(weights.at(((b * H + h) * T + t) * S + s) -
                                             y.at(((b * T + t) * H + h) * S + s)));
    CHECK(worst < 1e-14);
  }
}

TEST_CASE("attention has the same bits for any number of threads") {
  for (const Index S : {200, 600}) {
    AttentionOptions o(6, 16);
    o.n_kv_head = 3;
    o.mask.causal = true;
    o.dropout = 0.1;
    const Stream stream(5, "attention dropout");
    const Operands in(2, S, S, o, 16, 16, Dtype::f32);
    set_threads(1);
    const Results alone = fused(in, o, &stream);
    for (const int threads : {2, 3, 5}) {
      set_threads(threads);
      const Results shared = fused(in, o, &stream);
      for (std::size_t i = 0; i < alone.size(); i++) CHECK(same_bits(alone[i], shared[i]));
    }
    set_threads(0);
  }
}

TEST_CASE("what attention keeps grows with the length, not with its square") {
  auto kept = [](Index length) {
    const SymbolicBytes bytes;
    attention_packed(Tensor::symbolic({2, length, 3 * 64}), AttentionOptions(4, 16));
    return bytes.kept();
  };
  CHECK(kept(8192) < 2.1 * kept(4096));
  CHECK(kept(512) > 4 * 2 * 4 * 512 * 512);  // of few keys, the weights
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
  o.mask.starts = Tensor::zeros({2, 1}, Dtype::i32);
  CHECK_THROWS_WITH_AS(attention(q, q, q, o), "attention: starts must be i32 [1, 2]; got i32 [2, 1]", Error);
  o.mask.starts = Tensor();
  o.mask.relative = Tensor::zeros({1, 4});
  CHECK_THROWS_WITH_AS(attention(q, q, q, o),
                       "attention: relative must be f32 [1, R] or [1, 2, 1, R] with odd R; got f32 [1, 4]",
                       Error);
  o.mask.relative = Var();
  CHECK_THROWS_WITH_AS(
      attention(q, q, Tensor::zeros({1, 3, 2}), o),
      "attention: q must be [B, T, 1 * D], k [B, S, 1 * D], v [B, S, 1 * D_v]; got q [1, 2, 2], k "
      "[1, 2, 2], v [1, 3, 2]",
      Error);
}
