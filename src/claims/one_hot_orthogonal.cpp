#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

struct OneHotOrthogonal : Claim {
  void measure(Evidence& e) const override {
    constexpr Index V = 64;
    std::vector<int> words(V);
    for (Index i = 0; i < V; i++) words[static_cast<std::size_t>(i)] = static_cast<int>(i);
    const Tensor vectors = one_hot(Tensor::from({V}, words), V);
    double different = 0, same = 0;
    for (Index a = 0; a < V; a++)
      for (Index b = 0; b < V; b++) {
        double& largest = a == b ? same : different;
        largest = std::max(largest, std::abs(cosine(vectors, a * V, b * V, V)));
      }
    e.equal("largest |cosine| of two different words of 64", different, 0);
    e.equal("cosine of a word with itself", same, 1);
  }
};

QKV_REGISTER(Claim, "one-hot-orthogonal", OneHotOrthogonal,
             "one-hot vectors say nothing about likeness: any two different words have cosine 0");

}  // namespace
}  // namespace qkv
