#include "bank.h"
#include "measures.h"
#include "qkv/model/encoder_classifier.h"
#include "qkv/ops/pool.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

// Median cosine of the vectors of two groups: rows a .. a + n and b .. b + n of x, or all pairs of one group.
double median_cosine(const Tensor& x, Index a, Index b, Index n) {
  const Index d = x.dim(1);
  std::vector<double> cosines;
  for (Index i = 0; i < n; i++)
    for (Index j = a == b ? i + 1 : 0; j < n; j++) cosines.push_back(cosine(x, (a + i) * d, (b + j) * d, d));
  const auto middle = cosines.begin() + static_cast<std::ptrdiff_t>(cosines.size() / 2);
  std::nth_element(cosines.begin(), middle, cosines.end());
  return *middle;
}

struct ContextualVectors : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model = learned_bank(e);
    const auto& encoder = dynamic_cast<const EncoderClassifier&>(*model.experiment.model);
    const auto vectors = [&](const char* sense) {
      const Batch batch = examples_of(model, Split::val, sense);
      return select_positions(encoder.encode(batch), batch.at("target"));
    };
    const Var money = vectors("money"), river = vectors("river");
    const Index n = std::min(money.dim(0), river.dim(0));
    const Tensor both = concat({slice(money, 0, 0, n), slice(river, 0, 0, n)}, 0).value();
    e.at_most("median cosine of \"bank\" about money and \"bank\" of a river", median_cosine(both, 0, n, n),
              0.5);
    e.at_least("median cosine of two \"bank\" about money", median_cosine(both, 0, 0, n), 0.9);
    e.at_least("median cosine of two \"bank\" of a river", median_cosine(both, n, n, n), 0.9);
  }
};

QKV_REGISTER(Claim, "contextual-vectors", ContextualVectors,
             "behind attention \"bank\" has another vector in each sense, and nearly the same within one");

}  // namespace
}  // namespace qkv
