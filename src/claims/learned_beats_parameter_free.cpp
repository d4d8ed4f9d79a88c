#include "bank.h"

namespace qkv {
namespace {

struct LearnedBeatsParameterFree : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& learned = learned_bank(e);
    const TrainedModel& free = e.trained().shipped("bank-identity.toml", bank_sets("10"));
    const double order = learned.metrics(Split::test).group_accuracy(2);
    const double order_free = free.metrics(Split::test).group_accuracy(2);
    e.at_least("accuracy of learned attention in five senses", learned.metric("accuracy", Split::val), 0.9);
    e.at_most("share of order twins that parameter-free attention gets right", order_free, 0.15);
    e.at_least("the same for learned attention, minus that", order - order_free, 0.3);
  }
};

QKV_REGISTER(Claim, "learned-beats-parameter-free", LearnedBeatsParameterFree,
             "learned queries, keys and values tell banks apart that parameter-free attention cannot");

}  // namespace
}  // namespace qkv
