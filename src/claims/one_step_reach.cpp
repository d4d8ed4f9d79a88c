#include "claims/claim.h"
#include "measures.h"
#include "qkv/nn/attention.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

constexpr Index kWords = 16, kWidth = 16;

// Length of d output_t / d input_s of one layer, for each t and s.
std::vector<double> reach(const Evidence& e, bool causal) {
  ParameterStore parameters(e.seed(), Dtype::f64);
  AttentionConfig config;
  const MultiHeadAttention attn(Scope(parameters) / "attn", config, kWidth);
  Context context;
  context.mask.causal = causal;
  const Tensor words = e.normal("words", {1, kWords, kWidth}),
               upstream = e.normal("upstream", {1, 1, kWidth});
  std::vector<double> lengths;
  for (Index t = 0; t < kWords; t++) {
    Tape tape;
    const Var x = tape.variable(words);
    const Var y = slice(attn(x, context), 1, t, t + 1);
    Gradients gradients;
    tape.backward_from(y, upstream, gradients);
    const Tensor gradient = gradients.of(x).reshape({kWords, kWidth});
    for (Index s = 0; s < kWords; s++) lengths.push_back(length_of(gradient.rows(s, 1)));
  }
  return lengths;
}

struct OneStepReach : Claim {
  void measure(Evidence& e) const override {
    const std::vector<double> all = reach(e, false), causal = reach(e, true);
    const double typical = *std::max_element(all.begin(), all.end());
    double past = typical, future = 0;
    for (std::size_t t = 0; t < kWords; t++)
      for (std::size_t s = 0; s < kWords; s++) {
        if (s <= t)
          past = std::min(past, causal[t * kWords + s]);
        else
          future = std::max(future, causal[t * kWords + s]);
      }
    e.at_least("smallest gradient between any two of 16 words / the largest",
               *std::min_element(all.begin(), all.end()) / typical, 1e-6);
    e.at_least("smallest gradient of a word to an earlier one, causal / the largest", past / typical, 1e-6);
    e.equal("largest gradient of a word to a later one, causal", future, 0);
  }
};

QKV_REGISTER(Claim, "one-step-reach", OneStepReach,
             "in one layer every word reaches every other, however far, and none that the mask hides");

}  // namespace
}  // namespace qkv
