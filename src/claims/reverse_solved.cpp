#include "claims/claim.h"

namespace qkv {
namespace {

struct ReverseSolved : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model =
        e.trained().shipped("reverse.toml", {"data.max_length=8", "data.vocab_size=16", "data.examples=30000",
                                             "model.n_layer=1", "optimizer.lr=3e-3", "train.max_steps=1000"});
    e.at_least("words of up to 8 letters, never seen, that come out backwards without a mistake",
               model.metric("exact_match"), 0.98);
  }
};

QKV_REGISTER(Claim, "reverse-solved", ReverseSolved,
             "a decoder that looks at the source through attention learns to write words backwards");

}  // namespace
}  // namespace qkv
