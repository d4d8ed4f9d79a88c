#include "claims/claim.h"
#include "measures.h"
#include "qkv/nn/attention.h"
#include "qkv/nn/position.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

constexpr Index kWords = 10, kWidth = 16;

// How much the vectors of a layer change when the words are shuffled, beyond being shuffled themselves.
double change(const Evidence& e, PositionType position_type) {
  ParameterStore parameters(e.seed(), Dtype::f64);
  PositionConfig config;
  config.type = position_type;
  const Scope scope(parameters);
  const Position position(scope / "position", config, kWords, kWidth);
  const MultiHeadAttention attn(scope / "attn", AttentionConfig(), kWidth);
  const Tensor words = e.normal("words", {1, kWords, kWidth});
  std::vector<int> order(kWords);
  for (std::size_t i = 0; i < kWords; i++) order[i] = static_cast<int>((i + kWords / 2) % kWords);
  const Tensor rolled = Tensor::from({kWords}, order);
  const auto layer = [&](const Var& x) {
    return attn(position(x), Context());
  };
  const Var shuffled_after = index_select(layer(words), rolled, 1);
  const Var shuffled_before = layer(index_select(words, rolled, 1));
  return largest_difference(shuffled_after.value(), shuffled_before.value()) /
         length_of(shuffled_after.value());
}

struct OrderBlind : Claim {
  void measure(Evidence& e) const override {
    e.at_most("change by shuffling the words, without positions", change(e, PositionType::none), 1e-14);
    e.at_least("change by shuffling the words, with learned positions", change(e, PositionType::learned),
               1e-4);
    e.at_least("change by shuffling the words, with sinusoidal positions",
               change(e, PositionType::sinusoidal), 1e-4);
  }
};

QKV_REGISTER(Claim, "order-blind", OrderBlind,
             "attention itself does not see the order of the words; positions make it see");

}  // namespace
}  // namespace qkv
