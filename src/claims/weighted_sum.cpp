#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/attention.h"

namespace qkv {
namespace {

struct WeightedSum : Claim {
  void measure(Evidence& e) const override {
    constexpr Index B = 2, T = 9, H = 4, D = 8;
    const Tensor q = e.normal("queries", {B, T, H * D}), k = e.normal("keys", {B, T, H * D}),
                 v = e.normal("values", {B, T, H * D});
    Tensor weights;
    const Tensor y = attention(q, k, v, AttentionOptions(H, D), &weights).value();
    Tensor sum = Tensor::zeros({B, T, H * D}, Dtype::f64);
    for (Index b = 0; b < B; b++)
      for (Index t = 0; t < T; t++)
        for (Index h = 0; h < H; h++)
          for (Index s = 0; s < T; s++) {
            const double weight = weights.at(((b * H + h) * T + t) * T + s);
            for (Index i = 0; i < D; i++)
              sum.data<double>()[(b * T + t) * H * D + h * D + i] +=
                  weight * v.at((b * T + s) * H * D + h * D + i);
          }
    e.at_most("largest |output - sum of weight x value|, term by term", largest_difference(y, sum), 1e-14);
  }
};

QKV_REGISTER(Claim, "weighted-sum", WeightedSum,
             "the output of a head is the sum of its weights times the values");

}  // namespace
}  // namespace qkv
