#include "claims/claim.h"

namespace qkv {
namespace {

struct SummarizationSolved : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model = e.trained().shipped("summarize.toml");
    e.at_least("texts, never seen, whose headline is right word by word", model.metric("exact_match"), 0.95);
  }
};

QKV_REGISTER(Claim, "summarization-solved", SummarizationSolved,
             "an encoder-decoder learns to find what is new in a text and to make a headline of it");

}  // namespace
}  // namespace qkv
