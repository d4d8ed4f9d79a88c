#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/attention.h"

namespace qkv {
namespace {

// Words of length 1: then no dot product is larger than that of a word with itself.
struct ParameterFreeRows : Claim {
  void measure(Evidence& e) const override {
    constexpr Index T = 12, d = 16;
    Tensor x = e.normal("words", {1, T, d});
    for (Index t = 0; t < T; t++) {
      const double length = length_of(x.reshape({T, d}).rows(t, 1));
      for (Index i = 0; i < d; i++) x.data<double>()[t * d + i] /= length;
    }
    Tensor weights;
    attention(x, x, x, AttentionOptions(1, d), &weights);
    double error = 0, self = 1, smallest = 1;
    for (Index t = 0; t < T; t++) {
      double sum = 0;
      for (Index s = 0; s < T; s++) {
        sum += weights.at(t * T + s);
        smallest = std::min(smallest, weights.at(t * T + s));
      }
      error = std::max(error, std::abs(sum - 1));
      self = std::min(self, weights.at(t * T + t));
    }
    e.at_most("largest |sum of a row - 1|", error, 1e-14);
    e.at_least("smallest weight of all", smallest, 1e-3);
    e.at_least("smallest weight of a word for itself (an even share is 1/12)", self, 1.0 / T);
  }
};

QKV_REGISTER(
    Claim, "parameter-free-rows", ParameterFreeRows,
    "attention without parameters gives each word shares of all words, itself included, that sum to 1");

}  // namespace
}  // namespace qkv
