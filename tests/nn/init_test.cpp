#include "qkv/nn/parameter.h"

#include "nn/layer_check.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::vector<double> drawn(const Init& init, const Shape& shape) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  init(t, Stream(3, "init test"));
  return t.to_vector();
}

struct Moments {
  double mean = 0, deviation = 0, low = INFINITY, high = -INFINITY;
  explicit Moments(const std::vector<double>& x) {
    for (double v : x) mean += v / static_cast<double>(x.size());
    for (double v : x) deviation += (v - mean) * (v - mean) / static_cast<double>(x.size());
    deviation = std::sqrt(deviation);
    for (double v : x) low = std::min(low, v), high = std::max(high, v);
  }
};

}  // namespace

TEST_CASE("initialisers have the distribution they say") {
  CHECK(drawn(init::constant(2.5), {2}) == std::vector<double>{2.5, 2.5});
  CHECK(drawn(init::zeros(), {1}) == std::vector<double>{0});
  CHECK(drawn(init::ones(), {1}) == std::vector<double>{1});
  const Moments normal(drawn(init::normal(0.3), {100, 100}));
  CHECK(std::abs(normal.mean) < 0.01);
  CHECK(normal.deviation == doctest::Approx(0.3).epsilon(0.03));
  const Moments uniform(drawn(init::uniform(-1, 3), {100, 100}));
  CHECK(uniform.mean == doctest::Approx(1).epsilon(0.05));
  CHECK(uniform.low >= -1);
  CHECK(uniform.high < 3);
  CHECK(uniform.high - uniform.low > 3.9);
}

TEST_CASE("kaiming and xavier bounds follow from the shape; word vectors are about 1 long") {
  const Moments kaiming(drawn(init::kaiming(25), {100, 25}));
  CHECK(kaiming.high <= 0.2);
  CHECK(kaiming.high > 0.19);
  CHECK(kaiming.low >= -0.2);
  const Moments xavier(drawn(init::xavier(), {50, 100}));
  CHECK(xavier.high <= 0.2);  // sqrt(6 / 150)
  CHECK(xavier.high > 0.19);
  for (Index width : {16, 256})
    CHECK(Moments(drawn(init::vectors(), {200, width})).deviation * std::sqrt(static_cast<double>(width)) ==
          doctest::Approx(1).epsilon(0.03));
}

TEST_CASE("an initialiser depends on its stream alone") {
  CHECK(drawn(init::normal(1), {5}) == drawn(init::normal(1), {5}));
  CHECK(message([] { init::kaiming(0); }) == "init: fan_in must be positive; got 0");
  CHECK(message([] { drawn(init::xavier(), {5}); }) ==
        "init: xavier is for matrices [fan_out, fan_in]; got [5]");
}
