#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/softmax.h"

namespace qkv {
namespace {

double not_finite(const Tensor& x) {
  double count = 0;
  for (Index i = 0; i < x.size(); i++) count += !std::isfinite(x.at(i));
  return count;
}

struct SoftmaxStable : Claim {
  void measure(Evidence& e) const override {
    constexpr Index n = 8;
    const Tensor x = e.normal("scores", {1, n});
    const auto shifted = [&](double by) {
      Tensor y = x.clone();
      for (Index i = 0; i < n; i++) y.data<double>()[i] += by;
      return y;
    };
    const Tensor plain = softmax(x).value();
    for (const double by : {1e4, -1e4})
      e.at_most(fmt::format("change of the softmax by adding {:+g} to all scores", by),
                largest_difference(softmax(shifted(by)).value(), plain), 1e-11);
    const Tensor far = Tensor::from({1, 3}, std::vector<float>{1e4F, 0, -1e4F});
    e.at_most("error of softmax(10000, 0, -10000) = (1, 0, 0), in f32",
              largest_difference(softmax(far).value(), Tensor::from({1, 3}, std::vector<float>{1, 0, 0})), 0);
    Tape tape;
    const Var scores = tape.variable(far);
    const Var y = softmax(scores);
    Gradients gradients;
    tape.backward_from(y, Tensor::from({1, 3}, std::vector<float>{1, 2, 3}), gradients);
    e.equal("gradients of it that are not finite", not_finite(gradients.of(scores)), 0);
    e.at_least("exponentials of it that overflow where no maximum is subtracted",
               not_finite(exp(far).value()), 1);
  }
};

QKV_REGISTER(Claim, "softmax-stable", SoftmaxStable,
             "softmax is the same wherever the scores lie, and finite at +-10,000");

}  // namespace
}  // namespace qkv
