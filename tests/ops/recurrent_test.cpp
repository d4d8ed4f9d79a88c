#include "qkv/ops/recurrent.h"

#include "qkv/ops/shape_ops.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

constexpr Index B = 3, T = 4, I = 5, H = 3;

Var step_of(const Var& x, Index t) {
  return reshape(slice(x, 1, t, t + 1), Shape{x.dim(0), x.dim(2)});
}
struct Weights {
  Weights(Index gates, Dtype dtype)
      : x(normal({B, T, I}, dtype, 1)),
        W_ih(normal({gates * H, I}, dtype, 2, 0.5)),
        W_hh(normal({gates * H, H}, dtype, 3, 0.5)),
        b(normal({gates * H}, dtype, 4)),
        b2(normal({gates * H}, dtype, 5)),
        h(normal({B, H}, dtype, 6)),
        c(normal({B, H}, dtype, 7)) {}
  Tensor x, W_ih, W_hh, b, b2, h, c;
};

Tensor lengths(const std::vector<std::int32_t>& values) {
  return Tensor::from({B}, values);
}

// Row b, steps [begin, end) of [B, T, H].
std::vector<double> steps(const Tensor& y, Index b, Index begin, Index end) {
  std::vector<double> values;
  for (Index i = (b * T + begin) * H; i < (b * T + end) * H; i++) values.push_back(y.at(i));
  return values;
}

}  // namespace

TEST_CASE(
    "lstm, gru and rnn give in f32 what they give in f64, which gradient checks compare with the equations") {
  const double bound = 10 * tolerance(Dtype::f32);
  for (const bool reverse : {false, true}) {
    RecurrentOptions o;
    o.reverse = reverse;
    const Weights one(1, Dtype::f32), three(3, Dtype::f32), four(4, Dtype::f32);
    auto wide = [&](Weights w) {
      for (Tensor* t : {&w.x, &w.W_ih, &w.W_hh, &w.b, &w.b2, &w.h, &w.c}) *t = t->to(Dtype::f64);
      return w;
    };
    auto lstm_of = [&](const Weights& w, RecurrentState* last) {
      return lstm(w.x, w.W_ih, w.W_hh, w.b, {w.h, w.c}, o, last).value();
    };
    auto gru_of = [&](const Weights& w) {
      return gru(w.x, w.W_ih, w.W_hh, w.b, w.b2, {w.h, {}}, o).value();
    };
    RecurrentState last;
    const Tensor expected = lstm_of(wide(four), nullptr);
    CHECK(distance(lstm_of(four, &last), expected) < bound);
    CHECK(distance(last.h.value(), step_of(expected, reverse ? 0 : T - 1).value()) < bound);
    CHECK(distance(gru_of(three), gru_of(wide(three))) < bound);
    auto rnn_of = [&](const Weights& w) {
      return rnn(w.x, w.W_ih, w.W_hh, w.b, {w.h, {}}, o).value();
    };
    CHECK(distance(rnn_of(one), rnn_of(wide(one))) < bound);
  }
}

TEST_CASE("steps behind the length of a row give 0, keep its state, and change nothing") {
  const Weights w(4, Dtype::f64);
  for (const bool reverse : {false, true}) {
    RecurrentOptions o;
    o.reverse = reverse;
    o.lengths = lengths({2, 4, 0});
    RecurrentState last;
    const Tensor y = lstm(w.x, w.W_ih, w.W_hh, w.b, {w.h, w.c}, o, &last).value();
    CHECK(steps(y, 0, 2, 4) == std::vector<double>(2 * H, 0.0));
    CHECK(steps(y, 2, 0, 4) == std::vector<double>(4 * H, 0.0));
    CHECK(last.h.value().at(2 * H) == w.h.at(2 * H));  // a row of no steps ends as it started
    Tensor other = w.x.clone();
    for (Index i = 2 * I; i < 4 * I; i++) other.data<double>()[i] += 1;  // padding of row 0
    CHECK(distance(lstm(other, w.W_ih, w.W_hh, w.b, {w.h, w.c}, o).value(), y) == 0);
    const Tensor whole = lstm(w.x, w.W_ih, w.W_hh, w.b, {w.h, w.c}, {reverse, {}}).value();
    CHECK(distance(steps(y, 1, 0, 4), steps(whole, 1, 0, 4)) == 0);
  }
}

TEST_CASE("a sequence read in two parts, with the state handed on, gives the same") {
  const Weights w(3, Dtype::f64);
  const Tensor whole = gru(w.x, w.W_ih, w.W_hh, w.b, w.b2).value();
  RecurrentState state;
  const Tensor a = gru(slice(w.x, 1, 0, 1), w.W_ih, w.W_hh, w.b, w.b2, state, {}, &state).value(),
               b = gru(slice(w.x, 1, 1, T), w.W_ih, w.W_hh, w.b, w.b2, state, {}, &state).value();
  CHECK(distance(concat({a, b}, 1).value(), whole) < 1e-14);
}

TEST_CASE("recurrent shapes that do not fit are named") {
  const Weights w(4, Dtype::f64);
  CHECK_THROWS_WITH_AS(lstm(w.h, w.W_ih, w.W_hh, w.b),
                       doctest::Contains("lstm: x must be [B, T, I]; got [3, 3]"), Error);
  CHECK_THROWS_WITH_AS(
      lstm(w.x, w.W_hh, w.W_hh, w.b),
      doctest::Contains("W_ih and W_hh must be [4 H, 5] and [4 H, H]; got [12, 3] and [12, 3]"), Error);
  CHECK_THROWS_WITH_AS(lstm(w.x, w.W_ih, w.W_hh, w.h),
                       doctest::Contains("lstm: bias must be [12]; got [3, 3]"), Error);
  CHECK_THROWS_WITH_AS(gru(w.x, w.W_ih, w.W_hh, w.b, w.b2), doctest::Contains("gru: W_ih and W_hh"), Error);
  RecurrentOptions o;
  o.lengths = Tensor::zeros({2}, Dtype::i32);
  CHECK_THROWS_WITH_AS(lstm(w.x, w.W_ih, w.W_hh, w.b, {}, o), doctest::Contains("lengths must be i32 [3]"),
                       Error);
}
