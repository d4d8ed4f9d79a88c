#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/ops/softmax.h"

namespace qkv {
namespace {

constexpr Index kRows = 64, kWidth = 256;

struct Seen {
  double deviation, entropy, vanished;
};

// Scores of 64 queries and keys of independent normal elements, and what their softmax makes of them.
Seen look(const Evidence& e, double scale) {
  const Tensor q = e.normal("queries", {kRows, kWidth}), k = e.normal("keys", {kRows, kWidth});
  Tape tape;
  const Var scores = tape.variable(mul(matmul(q, transpose(k)), scale).value());
  const Var weights = softmax(scores);
  Seen seen{length_of(scores.value()) / kRows, 0, 0};
  for (Index row = 0; row < kRows; row++)
    seen.entropy += entropy(weights.value(), row * kRows, kRows) / kRows;
  Gradients gradients;
  tape.backward_from(weights, e.normal("upstream", {kRows, kRows}), gradients);
  const Tensor slope = gradients.of(scores);
  for (Index i = 0; i < slope.size(); i++)
    seen.vanished += (std::abs(slope.at(i)) < 1e-6) / static_cast<double>(slope.size());
  return seen;
}

struct ScaledScores : Claim {
  void measure(Evidence& e) const override {
    const Seen raw = look(e, 1), scaled = look(e, 1 / std::sqrt(static_cast<double>(kWidth)));
    e.at_most("|standard deviation - 16| of unscaled scores at d_k = 256", std::abs(raw.deviation - 16), 1);
    e.at_most("|standard deviation - 1| of scores / sqrt(d_k)", std::abs(scaled.deviation - 1), 1.0 / 16);
    e.at_most("mean entropy of unscaled attention over 64 keys (at most ln 64 = 4.16)", raw.entropy, 1);
    e.at_least("mean entropy of scaled attention", scaled.entropy, 3);
    e.at_least("share of unscaled scores whose gradient is below 1e-6", raw.vanished, 0.75);
    e.at_most("share of scaled scores whose gradient is below 1e-6", scaled.vanished, 0.01);
  }
};

QKV_REGISTER(Claim, "scaled-scores", ScaledScores,
             "without 1 / sqrt(d_k) scores are as wide as sqrt(d_k), and softmax and its gradient collapse");

}  // namespace
}  // namespace qkv
