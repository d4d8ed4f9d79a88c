#include "claims/claim.h"

namespace qkv {
namespace {

struct TranslationSolved : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model = e.trained().shipped("translate-toy.toml", {"train.max_steps=1800"});
    e.at_least("English sentences, never seen, whose German is right word by word",
               model.metric("exact_match"), 0.98);
  }
};

QKV_REGISTER(Claim, "translation-solved", TranslationSolved,
             "an encoder-decoder learns to translate a small world from English to German");

}  // namespace
}  // namespace qkv
