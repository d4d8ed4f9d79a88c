#include "ops/optimizer_kernels.h"

#include <numeric>

#include "tensors.h"

using namespace qkv;
using test::distance;

namespace {

constexpr Index kSize = 77;  // with a tail for every register width
using Numbers = std::vector<double>;

// Runs `update(p, a, b, g, n, step)` for five steps on T and `reference(p, a, b, g, step)` per element in
// f64; gives the largest distance of p, a and b.
template <class T, class Update, class Reference>
double compare(Update update, Reference reference) {
  std::vector<T> p(kSize), a(kSize), b(kSize), g(kSize);
  fill_normal(Stream(1, "optimizer"), p.data(), p.size());
  Numbers rp(p.begin(), p.end()), ra(kSize), rb(kSize);
  double worst = 0;
  for (Index step = 1; step <= 5; step++) {
    fill_normal(Stream(2, "optimizer", step), g.data(), g.size());
    update(p.data(), a.data(), b.data(), g.data(), kSize, step);
    for (std::size_t i = 0; i < g.size(); i++)
      reference(rp[i], ra[i], rb[i], static_cast<double>(g[i]), static_cast<double>(step));
    worst = std::max({worst, distance(Numbers(p.begin(), p.end()), rp),
                      distance(Numbers(a.begin(), a.end()), ra), distance(Numbers(b.begin(), b.end()), rb)});
  }
  return worst;
}

template <class T>
void check_adam(double decay) {
  AdamStep s;
  s.learning_rate = 0.02, s.beta1 = 0.8, s.beta2 = 0.97, s.eps = 1e-3, s.weight_decay = decay, s.scale = 0.5;
  for (bool decoupled : {true, false})
    CHECK(compare<T>(
              [&](T* p, T* m, T* v, const T* g, Index n, Index step) {
                s.step = step;
                decoupled ? adamw_update(p, m, v, g, n, s) : adam_update(p, m, v, g, n, s);
              },
              [&](double& p, double& m, double& v, double g, double step) {
                g = 0.5 * g + (decoupled ? 0 : decay * p);
                if (decoupled) p -= 0.02 * decay * p;
                m = 0.8 * m + 0.2 * g;
                v = 0.97 * v + 0.03 * g * g;
                const double mean = m / (1 - std::pow(0.8, step)), square = v / (1 - std::pow(0.97, step));
                p -= 0.02 * mean / (std::sqrt(square) + 1e-3);
              }) <= test::tolerance(DtypeOf<T>::value));
}

template <class T>
void check_sgd(double momentum, bool nesterov) {
  SgdStep s;
  s.learning_rate = 0.1, s.momentum = momentum, s.weight_decay = 0.01, s.scale = 2, s.nesterov = nesterov;
  CHECK(compare<T>([&](T* p, T* u, T*, const T* g, Index n,
                       Index) { sgd_update(p, momentum > 0 ? u : nullptr, g, n, s); },
                   [&](double& p, double& u, double&, double g, double) {
                     g = 2 * g + 0.01 * p;
                     if (momentum > 0) u = momentum * u + g;
                     p -= 0.1 * (momentum == 0 ? g : nesterov ? g + momentum * u : u);
                   }) <= test::tolerance(DtypeOf<T>::value));
}

}  // namespace

TEST_CASE("Adam and AdamW follow their definition with clipping, bias correction and weight decay") {
  for (double decay : {0.0, 0.1}) check_adam<float>(decay), check_adam<double>(decay);
}

TEST_CASE("SGD follows its definition without momentum, with it, and with Nesterov's") {
  for (bool nesterov : {false, true})
    for (double momentum : {0.0, 0.9})
      check_sgd<float>(momentum, nesterov), check_sgd<double>(momentum, nesterov);
}

TEST_CASE("the first AdamW step moves every weight by about the learning rate, against the gradient") {
  std::vector<float> p = {1, 1, 1}, m(3), v(3);
  const std::vector<float> g = {1e-3f, -5, 1e3f};
  adamw_update(p.data(), m.data(), v.data(), g.data(), 3, AdamStep{});
  CHECK(distance(Numbers(p.begin(), p.end()), {0.999, 1.001, 0.999}) <= 1e-6);
}

TEST_CASE("an update cut into pieces gives the same bits as a whole one") {
  std::vector<float> g(kSize), p(kSize), m(kSize), v(kSize);
  fill_normal(Stream(3, "optimizer"), g.data(), g.size());
  auto p2 = p, m2 = m, v2 = v;
  AdamStep s;
  s.weight_decay = 0.01;
  adamw_update(p.data(), m.data(), v.data(), g.data(), kSize, s);
  for (Index i = 0, size = 1; i < kSize; i += size, size += 3) {
    size = std::min(size, kSize - i);
    adamw_update(p2.data() + i, m2.data() + i, v2.data() + i, g.data() + i, size, s);
  }
  CHECK(p == p2);
  CHECK(m == m2);
  CHECK(v == v2);
}

TEST_CASE("sum_of_squares adds in f64") {
  for (Index n : {0, 1, 15, 16, 17, 1000}) {
    std::vector<float> g(static_cast<std::size_t>(n));
    std::iota(g.begin(), g.end(), 1.0f);
    const double expected = static_cast<double>(n) * (n + 1) * (2 * n + 1) / 6;
    CHECK(sum_of_squares(g.data(), n) == expected);
  }
  const std::vector<float> small(1 << 20, 1e-3f), huge(16, 1e30f);
  const double square = static_cast<double>(1e-3f) * static_cast<double>(1e-3f);
  CHECK(std::abs(sum_of_squares(small.data(), 1 << 20) / (square * (1 << 20)) - 1) <= 1e-12);
  CHECK(std::isfinite(sum_of_squares(huge.data(), 16)));  // overflows in f32
}

TEST_CASE("optimiser kernels refuse a step of 0 and momentum without its buffer") {
  float x[4] = {};
  AdamStep s;
  s.step = 0;
  CHECK_THROWS_WITH_AS(adamw_update(x, x + 1, x + 2, x + 3, 1, s),
                       "adamw_update: step must be at least 1; got 0", Error);
  SgdStep sgd;
  sgd.momentum = 0.5;
  CHECK_THROWS_WITH_AS(sgd_update<float>(x, nullptr, x + 1, 1, sgd),
                       "sgd_update: momentum needs a buffer; got momentum 0.5 and none", Error);
}
