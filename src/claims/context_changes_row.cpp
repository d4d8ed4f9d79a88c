#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/attention.h"

namespace qkv {
namespace {

struct ContextChangesRow : Claim {
  void measure(Evidence& e) const override {
    constexpr Index T = 6, d = 16;
    const Tensor sentence = e.normal("words", {1, T, d});
    Tensor changed = sentence.clone();
    changed.reshape({T, d}).rows(T - 1, 1).copy_from(e.normal("another word", {1, d}));
    AttentionOptions options(1, d);
    options.scale = 0.1;  // so that "bank" does not look at itself alone
    const auto bank_of = [&](const Tensor& x, Tensor& row) {
      Tensor weights;
      const Tensor y = attention(x, x, x, options, &weights).value();
      row = weights.reshape({T, T}).rows(0, 1);
      return y.reshape({T, d}).rows(0, 1);
    };
    Tensor before, after;
    const Tensor bank = bank_of(sentence, before), other_bank = bank_of(changed, after);
    e.equal("change of the vector of \"bank\" before attention",
            largest_difference(sentence.reshape({T, d}).rows(0, 1), changed.reshape({T, d}).rows(0, 1)), 0);
    e.at_least("largest change in its row of weights", largest_difference(before, after), 1e-6);
    e.at_least("largest change in its vector after attention", largest_difference(bank, other_bank), 1e-3);
  }
};

QKV_REGISTER(Claim, "context-changes-row", ContextChangesRow,
             "another word in the sentence changes the attention row of \"bank\", and so its vector");

}  // namespace
}  // namespace qkv
