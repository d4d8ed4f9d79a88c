#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/attention.h"

namespace qkv {
namespace {

// bank = (sqrt(ln 3), 0, 0), grows = (0, 1, 0), money = (0, 0, 1): the scores of "bank" are ln 3, 0, 0, so
// its weights are 3/5, 1/5, 1/5, and its new vector is (0.6 sqrt(ln 3), 0.2, 0.2).
struct BankGrowsMoney : Claim {
  void measure(Evidence& e) const override {
    const double bank = std::sqrt(std::log(3.0));
    const Tensor x = Tensor::from({1, 3, 3}, std::vector<double>{bank, 0, 0, 0, 1, 0, 0, 0, 1});
    AttentionOptions options(1, 3);
    options.scale = 1.0;
    Tensor weights;
    const Tensor y = attention(x, x, x, options, &weights).value();
    const Tensor row = weights.reshape({9}).rows(0, 3), sum = y.reshape({9}).rows(0, 3);
    const double rounding = 1e-15;
    const char* words[] = {"bank", "grows", "money"};
    for (Index i = 0; i < 3; i++)
      e.at_most(fmt::format("|weight of \"{}\" - {}|, as \"bank\" sees it", words[i], i == 0 ? 0.6 : 0.2),
                std::abs(row.at(i) - (i == 0 ? 0.6 : 0.2)), rounding);
    const Tensor expected = Tensor::from({3}, std::vector<double>{0.6 * bank, 0.2, 0.2});
    e.at_most("error of 0.6 bank + 0.2 grows + 0.2 money", largest_difference(sum, expected), rounding);
  }
};

QKV_REGISTER(Claim, "bank-grows-money", BankGrowsMoney,
             "in \"bank grows money\" the vector of \"bank\" becomes 0.6 bank + 0.2 grows + 0.2 money");

}  // namespace
}  // namespace qkv
