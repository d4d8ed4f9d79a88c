#include "qkv/ops/loss.h"

#include <limits>

#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "tensors.h"

using namespace qkv;
using test::distance;

namespace {

// PyTorch's definition of CrossEntropyLoss, one target at a time, from log(softmax).
std::vector<double> reference(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& o) {
  const Index V = logits.dim(-1);
  std::vector<double> losses;
  for (Index r = 0; r < targets.size(); r++) {
    const auto t = static_cast<Index>(targets.at(r));
    auto weight = [&](Index c) {
      return o.class_weights.defined() ? o.class_weights.at(c) : 1.0;
    };
    long double sum = 0, even = 0;
    for (Index c = 0; c < V; c++) sum += std::exp(static_cast<long double>(logits.at(r * V + c)));
    auto log_p = [&](Index c) {
      return static_cast<long double>(logits.at(r * V + c)) - std::log(sum);
    };
    for (Index c = 0; c < V; c++) even -= static_cast<long double>(weight(c)) * log_p(c);
    const double e = o.label_smoothing;
    const long double z = static_cast<long double>(o.z_loss) * std::log(sum) * std::log(sum);
    losses.push_back(t == o.ignore_index
                         ? 0.0
                         : static_cast<double>(-(1 - e) * weight(t) * log_p(t) +
                                               e / static_cast<double>(V) * even + weight(t) * z));
  }
  return losses;
}

CrossEntropyOptions options(int ignore, const Tensor& weights, double smoothing, double z_loss = 0) {
  CrossEntropyOptions o;
  o.ignore_index = ignore, o.class_weights = weights, o.label_smoothing = smoothing, o.z_loss = z_loss;
  return o;
}

}  // namespace

TEST_CASE("cross entropy follows PyTorch's definition with weights, smoothing, Z-loss and ignored targets") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (Index V : {1, 5, 65}) {
      const Tensor logits = test::normal({2, 4, V}, dtype, 3, 2.0);
      const auto last = static_cast<std::int32_t>(V - 1);
      const Tensor targets = test::ids({2, 4}, {0, last, last / 2, 0, -100, last, 0, last / 3});
      Tensor weights = test::normal({V}, Dtype::f64, 4);
      for (Index c = 0; c < V; c++) weights.data<double>()[c] = 0.5 + std::abs(weights.at(c));
      for (const Tensor& w : {Tensor(), weights.to(dtype)})
        for (const auto& [smoothing, z_loss] :
             {std::pair(0.0, 0.0), {0.1, 0.0}, {1.0, 0.0}, {0.0, 0.3}, {0.2, 1e-3}})
          for (int ignore : {-100, 0}) {
            if (ignore == 0 && V == 1) continue;
            const CrossEntropyOptions o = options(ignore, w, smoothing, z_loss);
            Tensor t = targets.clone();
            if (ignore == 0) t.data<std::int32_t>()[4] = 0;
            const std::vector<double> losses = reference(logits, t, o);
            double sum = 0, weight = 0;
            for (std::size_t r = 0; r < losses.size(); r++) {
              const auto id = static_cast<int>(t.at(static_cast<Index>(r)));
              sum += losses[r];
              if (id != ignore) weight += w.defined() ? w.at(id) : 1.0;
            }
            const CrossEntropy got = cross_entropy(logits, t, o);
            CHECK(distance(cross_entropy_each(logits, t, o).value().to_vector(), losses) <=
                  test::tolerance(dtype));
            CHECK(distance({got.sum.value().item()}, {sum}) <= test::tolerance(dtype));
            CHECK(std::abs(got.weight - weight) <= 1e-12 * weight);
            CHECK(distance({cross_entropy_mean(logits, t, o).value().item()}, {sum / weight}) <=
                  test::tolerance(dtype));
            if (smoothing == 0 && z_loss == 0)
              CHECK(distance(nll_loss_each(log_softmax(logits), t, o).value().to_vector(), losses) <=
                    2 * test::tolerance(dtype));
          }
    }
}

TEST_CASE("the gradient of cross entropy equals that of its composition of log_softmax and nll_loss") {
  const Tensor x = test::normal({6, 33}, Dtype::f64, 5, 3.0);
  const Tensor targets = test::ids({6}, {32, 0, -100, 7, 7, 1});
  const Tensor upstream = test::normal({6}, Dtype::f64, 6);
  auto gradient = [&](auto loss) {
    Tape tape;
    Var v = tape.variable(x);
    Gradients all;
    tape.backward_from(loss(v), upstream, all);
    return all.of(v);
  };
  const Tensor fused = gradient([&](const Var& v) { return cross_entropy_each(v, targets); });
  const Tensor plain = gradient([&](const Var& v) { return nll_loss_each(log_softmax(v), targets); });
  CHECK(distance(fused, plain) <= 1e-14);
}

TEST_CASE("the gradient is written over the logits only when nobody else holds them") {
  const Tensor x = test::normal({3, 4}, Dtype::f64, 7), w = test::normal({5, 4}, Dtype::f64, 8);
  const Tensor targets = test::ids({3}, {0, 4, 2});
  auto gradient = [&](bool hold) {
    Tape tape;
    Var v = tape.variable(x), held, loss;
    Tensor before;
    {
      Var logits = linear(v, w);
      loss = cross_entropy_mean(logits, targets);
      if (hold) held = logits, before = logits.value().clone();
    }
    Gradients all = tape.backward(loss);
    if (hold) CHECK(distance(held.value(), before) == 0);
    return all.of(v).clone();
  };
  CHECK(distance(gradient(true), gradient(false)) == 0);
}

TEST_CASE("cross entropy is exact for logits of +-1e4 and infinite for an impossible target") {
  const Tensor x = Tensor::from<float>({2, 2}, {1e4f, 1e4f + 1, -1e4f, 1e4f});
  const double l = std::log(1 + std::exp(1.0));
  CHECK(distance(cross_entropy_each(x, test::ids({2}, {1, 0})).value().to_vector(), {l - 1, 2e4}) <= 1e-6);
  Tape tape;
  Var v = tape.variable(x);
  const Tensor g = tape.backward(cross_entropy(v, test::ids({2}, {1, 0})).sum).of(v);
  const double p = 1 / (1 + std::exp(1.0));
  CHECK(distance(g.to_vector(), {p, -p, -1, 1}) <= 1e-6);
  const Tensor impossible = Tensor::from<double>({2}, {0, -std::numeric_limits<double>::infinity()});
  CHECK(std::isinf(cross_entropy_mean(impossible, test::ids({}, {1})).value().item()));
}

TEST_CASE("when every target is ignored the loss, its weight, its mean and its gradient are zero") {
  Tape tape;
  Var x = tape.variable(test::normal({2, 3}, Dtype::f32));
  const Tensor targets = test::ids({2}, {-100, -100});
  CHECK(cross_entropy(x, targets).weight == 0);
  Var mean = cross_entropy_mean(x, targets);
  CHECK(mean.value().item() == 0);
  CHECK(distance(tape.backward(mean).of(x), Tensor::zeros({2, 3})) == 0);
}

TEST_CASE("the sum over many f32 rows keeps the digits of f64") {
  const Index rows = 200000;
  const Tensor x = Tensor::zeros({rows, 2});
  const CrossEntropy got = cross_entropy(x, Tensor::zeros({rows}, Dtype::i32));
  CHECK(std::abs(got.sum.value().item() / (static_cast<double>(rows) * std::log(2.0)) - 1) <= 1e-7);
}

TEST_CASE("cross entropy passes symbolic tensors through") {
  const CrossEntropy got = cross_entropy(Tensor::symbolic({2, 3, 7}), Tensor::symbolic({2, 3}, Dtype::i32));
  CHECK(got.sum.is_symbolic());
  CHECK(got.sum.shape() == Shape{});
  CHECK(got.weight == 6);
  CHECK(cross_entropy_each(Tensor::symbolic({2, 7}), Tensor::symbolic({2}, Dtype::i32)).shape() == Shape{2});
}

TEST_CASE("cross entropy says what is wrong with its arguments") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, test::ids({2}, {0, 3})),
      "cross_entropy: target must be in [0, 3) or the ignored -100; got 3 at position 1 (logits [2, 3])",
      Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, test::ids({3}, {0, 0, 0})),
                       "cross_entropy: targets must be i32 of the shape of the logits without the last axis; "
                       "got targets i32 [3], logits [2, 3]",
                       Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, test::ids({2}, {0, 0}), options(-100, {}, 1.5)),
                       "cross_entropy: label_smoothing must be in [0, 1]; got 1.5", Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, test::ids({2}, {0, 0}), options(-100, Tensor::zeros({2}), 0)),
                       "cross_entropy: class_weights must be f32 [3]; got f32 [2]", Error);
  CHECK_THROWS_WITH_AS(nll_loss_each(x, test::ids({2}, {0, 0}), options(-100, {}, 0.1)),
                       "nll_loss: label_smoothing and z_loss must be 0; got 0.1 and 0", Error);
}
