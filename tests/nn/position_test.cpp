#include "qkv/nn/position.h"

#include "nn/layer_check.h"
#include "qkv/model/model.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("the sinusoidal table has sines and cosines of geometric wavelengths") {
  const Tensor table = sinusoidal_table(5, 0, 6, Dtype::f64);
  for (Index p = 0; p < 5; p++)
    for (Index j = 0; j < 3; j++) {
      const double angle = static_cast<double>(p) / std::pow(10000.0, 2.0 * static_cast<double>(j) / 6.0);
      CHECK(table.at(p * 6 + 2 * j) == doctest::Approx(std::sin(angle)).epsilon(1e-12));
      CHECK(table.at(p * 6 + 2 * j + 1) == doctest::Approx(std::cos(angle)).epsilon(1e-12));
    }
  CHECK(sinusoidal_table(3, 0, 5, Dtype::f32).shape() == Shape{3, 5});  // odd widths end with a sine
  const Tensor around = sinusoidal_table(5, 2, 6, Dtype::f64);
  CHECK(around.at(4 * 6) == doctest::Approx(table.at(2 * 6)));
  CHECK(around.at(0) == doctest::Approx(-table.at(2 * 6)));  // sin(-2)
}

TEST_CASE("sinusoidal positions are added to sqrt(d) x, without parameters") {
  ParameterStore store(1, Dtype::f64);
  const Position f(Scope(store) / "position", {PositionType::sinusoidal, PositionOrigin::start}, 8, 4);
  CHECK(store.size() == 0);
  const Tensor x = normal({2, 3, 4}, Dtype::f64), table = sinusoidal_table(3, 0, 4, Dtype::f64);
  const Tensor y = f(x).value();
  for (Index i = 0; i < x.size(); i++)
    CHECK(y.at(i) == doctest::Approx(2 * x.at(i) + table.at(i % 12)).epsilon(1e-13));
}

TEST_CASE("learned positions add a row per position from the start, with gradients") {
  ParameterStore store(1, Dtype::f64);
  const Position f(Scope(store) / "position", {PositionType::learned, PositionOrigin::start}, 4, 2);
  const Tensor x = normal({2, 3, 2}, Dtype::f64);
  const Tensor y = f(x).value();
  CHECK(f.weight.value().shape() == Shape{4, 2});
  for (Index i = 0; i < x.size(); i++)
    CHECK(y.at(i) == doctest::Approx(x.at(i) + f.weight.value().at(i % 6)).epsilon(1e-14));
  CHECK(gradient_error(store, [&] { return f(x); }) < 1e-8);
}

TEST_CASE("positions counted from the target are signed, and clipped beyond max_seq_len") {
  ParameterStore store(1, Dtype::f64);
  const Position f(Scope(store) / "position", {PositionType::learned, PositionOrigin::target}, 3,
                   1);  // rows -2 .. 2
  CHECK(f.weight.value().shape() == Shape{5, 1});
  const Tensor y = f(Tensor::zeros({2, 5, 1}, Dtype::f64), ids({2}, {0, 4})).value();
  const std::vector<double> w = f.weight.value().to_vector();
  CHECK(y.to_vector() == std::vector<double>{w[2], w[3], w[4], w[4], w[4], w[0], w[0], w[0], w[1], w[2]});
}

TEST_CASE("no positions: x itself") {
  ParameterStore store(1);
  const Position f(Scope(store) / "position", {PositionType::none, PositionOrigin::target}, 3, 2);
  const Tensor x = normal({1, 9, 2}, Dtype::f32);
  CHECK(test::share_buffer(f(x).value(), x));
  CHECK_FALSE(f.relative);
}

TEST_CASE("too long a text and a missing target are errors that name the layer") {
  ParameterStore store(1);
  const Position start(Scope(store) / "a", {PositionType::learned, PositionOrigin::start}, 3, 2);
  const Position target(Scope(store) / "b", {PositionType::sinusoidal, PositionOrigin::target}, 3, 2);
  CHECK(message([&] {
          (void)start(Tensor::zeros({1, 4, 2}));
        }) == "position: length must be at most max_seq_len = 3; got 4 (in a)");
  CHECK(message([&] {
          (void)target(Tensor::zeros({1, 4, 2}));
        }) == "position: target must be i32 [1] with origin = \"target\"; got none (in b)");
}

TEST_CASE("slopes of ALiBi are those of the paper, for powers of two and other numbers of heads") {
  CHECK(alibi_slopes(8, Dtype::f64).to_vector() ==
        std::vector<double>{1.0 / 2, 1.0 / 4, 1.0 / 8, 1.0 / 16, 1.0 / 32, 1.0 / 64, 1.0 / 128, 1.0 / 256});
  const std::vector<double> six = alibi_slopes(6, Dtype::f64).to_vector();  // four, and two of those of eight
  CHECK(six == std::vector<double>{1.0 / 4, 1.0 / 16, 1.0 / 64, 1.0 / 256, 1.0 / 2, 1.0 / 8});
}

TEST_CASE("the bias of ALiBi is minus slope times distance, and no text is too long for it") {
  const Tensor bias = alibi_bias(2, 4, Dtype::f64);  // slopes 1/16, 1/256
  CHECK(bias.shape() == Shape{2, 7});
  CHECK(bias.rows(0, 1).to_vector() ==
        std::vector<double>{-3.0 / 16, -2.0 / 16, -1.0 / 16, 0, -1.0 / 16, -2.0 / 16, -3.0 / 16});
  ParameterStore store(1, Dtype::f64);
  AttentionConfig heads;
  PositionConfig c;
  c.type = PositionType::alibi;
  Context context;
  Position(Scope(store), c, 4, 8, heads).extend(context, 3, 3);
  CHECK(same_bits(context.mask.relative.value(), alibi_bias(2, 6, Dtype::f64)));
}

TEST_CASE("buckets of T5 are those of its code, in both directions and causal") {
  // By PyTorch, as transformers has it in T5Attention._relative_position_bucket.
  const std::vector<Index> distances{-200, -128, -127, -100, -64, -33, -32, -20, -16, -15,
                                     -9,   -8,   -7,   -1,   0,   1,   7,   8,   9,   15,
                                     16,   20,   32,   33,   64,  100, 127, 128, 200};
  const std::vector<Index> both{15, 15, 15, 15, 14, 12, 12, 10, 10, 9,  8,  8,  7,  1, 0,
                                17, 23, 24, 24, 25, 26, 26, 28, 28, 30, 31, 31, 31, 31};
  const std::vector<Index> causal{31, 31, 31, 30, 26, 21, 21, 17, 16, 15, 9, 8, 7, 1, 0,
                                  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, 0, 0, 0};
  const std::vector<Index> few{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1, 0,
                               5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
  for (std::size_t i = 0; i < distances.size(); i++) {
    CAPTURE(distances[i]);
    CHECK(t5_bucket(distances[i], {32, 128}, false) == both[i]);
    CHECK(t5_bucket(distances[i], {32, 128}, true) == causal[i]);
    CHECK(t5_bucket(distances[i], {8, 20}, false) == few[i]);
  }
  ParameterStore store(1, Dtype::f64);
  const RelativeBias bias(Scope(store), {8, 20}, 3, 16);
  CHECK(bias.weight.value().shape() == Shape{8, 3});
  const Tensor table = bias.table(false).value();
  CHECK(table.shape() == Shape{3, 41});
  for (Index h = 0; h < 3; h++)
    for (Index d = -20; d <= 20; d++)
      CHECK(table.at(h * 41 + d + 20) == bias.weight.value().at(t5_bucket(d, {8, 20}, false) * 3 + h));
}

TEST_CASE("positions that attention applies leave the vectors alone") {
  ParameterStore store(1, Dtype::f64);
  AttentionConfig heads;
  heads.n_head = 2;
  PositionConfig c;
  const Tensor x = normal({1, 3, 8}, Dtype::f64);
  for (PositionType type : {PositionType::rope, PositionType::alibi}) {
    c.type = type;
    const Position position(Scope(store), c, 5, 8, heads);
    CHECK(distance(position(x).value(), x) == 0);
    Context context;
    position.extend(context, 2, 3);
    CHECK(context.rotary.cos.defined() == (c.type == PositionType::rope));
    CHECK(context.mask.relative.defined() == (c.type == PositionType::alibi));
    if (c.type == PositionType::rope) {
      CHECK(distance(context.rotary.cos, rotary_table(2, 3, 4, 10000.0, Dtype::f64).cos) == 0);
      CHECK_THROWS_WITH_AS(position.extend(context, 3, 3),
                           doctest::Contains("at most max_seq_len = 5; got 6"), Error);
    }
  }
  CHECK(store.size() == 0);
}

TEST_CASE("theta is the base of RoPE's angles, and interleaved pairs are halves with rows in another order") {
  AttentionConfig heads;
  heads.n_head = 2;
  PositionConfig c;
  c.type = PositionType::rope;
  c.theta = 50.0;
  ParameterStore store(1, Dtype::f64);
  const MultiHeadAttention attention(Scope(store) / "attn", heads, 8);
  const Position halves(Scope(store), c, 5, 8, heads);
  CHECK(distance(halves.rotary.sin, rotary_table(0, 5, 4, 50.0, Dtype::f64).sin) == 0);
  c.pairing = RopePairing::interleaved;
  const Position interleaved(Scope(store), c, 5, 8, heads);

  const Var x = normal({2, 5, 8}, Dtype::f64);
  auto result = [&](const Position& position) {
    Context context;
    position.extend(context, 0, 5);
    return attention(x, context).value();
  };
  const Tensor expected = result(halves), other = result(interleaved);
  CHECK(distance(expected, other) > 1e-3);
  // Rows (0, 2), (1, 3) of each of the 4 heads of queries and keys that are pairs become (0, 1), (2, 3).
  Tensor W = store.slot(attention.W_QKV.slot()).value;
  const Tensor before = W.clone();
  for (Index row = 0; row < 4 * 4; row++) {
    const Index from = row / 4 * 4 + (row % 4 % 2) * 2 + row % 4 / 2;
    W.rows(row, 1).copy_from(before.rows(from, 1));
  }
  CHECK(distance(result(interleaved), expected) < 1e-12);
}

TEST_CASE("base and pairing of RoPE are refused where positions are of another type") {
  auto problems = [](const std::string& position) {
    ParameterStore store(1);
    try {
      make_model(Scope(store), Section::parse("type = \"decoder-lm\"\n[position]\n" + position), {10});
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(problems("theta = 10000.0\npairing = \"halves\"\n") == "");
  CHECK(problems("type = \"rope\"\ntheta = 5.0\npairing = \"interleaved\"\n") == "");
  CHECK(problems("theta = 5.0\n").find("theta must be left out unless type = \"rope\"") != std::string::npos);
  CHECK(problems("pairing = \"interleaved\"\n").find("pairing must be left out") != std::string::npos);
}

TEST_CASE("a part of each head is rotated, by the angles of a head of that width") {
  AttentionConfig heads;
  heads.n_head = 2;
  PositionConfig c;
  c.type = PositionType::rope;
  c.rotary_fraction = 0.5;
  ParameterStore store(1, Dtype::f64);
  const Position position(Scope(store), c, 5, 16, heads);
  Context context;
  position.extend(context, 0, 5);
  CHECK(same_bits(context.rotary.cos, rotary_table(0, 5, 4, 10000.0, Dtype::f64).cos));
  const Tensor x = normal({1, 5, 16}, Dtype::f64), y = rotary(x, context.rotary, {2, 8}).value();
  for (Index i = 0; i < x.size(); i++)
    CHECK((y.at(i) == x.at(i)) == (i % 8 >= 4 || i < 16));  // position 0 turns by nothing
}
