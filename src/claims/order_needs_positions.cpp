#include "claims/claim.h"

namespace qkv {
namespace {

// Words of six letters, to be written backwards. Without positions the decoder is given a bag of letters: of
// the orders of n different ones, one of n! is right.
struct OrderNeedsPositions : TrainedClaim {
  void measure(Evidence& e) const override {
    const auto solved = [&](const char* positions) {
      const std::vector<std::string> sets = {
          "data.min_length=6",   "data.max_length=6",
          "data.vocab_size=16",  "data.examples=30000",
          "model.n_layer=1",     "optimizer.lr=3e-3",
          "train.max_steps=800", std::string("model.position.type=\"") + positions + "\""};
      return e.trained().shipped("reverse.toml", sets).metric("exact_match");
    };
    e.at_most("words of 6 letters reversed without a mistake, without positions (6 letters: 1/720)",
              solved("none"), 0.05);
    e.at_least("the same with learned positions", solved("learned"), 0.98);
  }
};

QKV_REGISTER(Claim, "order-needs-positions", OrderNeedsPositions,
             "without positions the order of the letters is guesswork, with them it is known");

}  // namespace
}  // namespace qkv
