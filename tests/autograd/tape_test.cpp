#include "qkv/autograd/tape.h"

#include <doctest/doctest.h>

#include "qkv/ops/attention.h"

using namespace qkv;

TEST_CASE("attention of a var with itself gives the sum of the gradients of query, key and value") {
  const Tensor x = Tensor::from<double>({1, 2, 2}, {0.3, -1.0, 0.7, 0.2});
  auto gradient = [&](bool shared) {
    Tape tape;
    Var q = tape.variable(x), k = shared ? q : tape.variable(x), v = shared ? q : tape.variable(x);
    Gradients all;
    tape.backward_from(attention(q, k, v, AttentionOptions(1, 2)),
                       Tensor::from<double>({1, 2, 2}, {1, 2, 3, 4}), all);
    std::vector<double> sum = all.of(q).to_vector();
    for (std::size_t i = 0; !shared && i < sum.size(); i++)
      sum[i] += all.of(k).at(static_cast<Index>(i)) + all.of(v).at(static_cast<Index>(i));
    return sum;
  };
  const std::vector<double> shared = gradient(true), separate = gradient(false);
  for (std::size_t i = 0; i < 4; i++) CHECK(shared[i] == doctest::Approx(separate[i]).epsilon(1e-14));
}
