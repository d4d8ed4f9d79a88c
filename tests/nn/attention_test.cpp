#include "qkv/nn/attention.h"

#include "nn/layer_check.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/nn/check_layer.h"

using namespace qkv;
using namespace qkv::test;

namespace {

AttentionConfig config(Index n_head, Index n_kv_head = 0, Index d_head = 0) {
  AttentionConfig c;
  c.n_head = n_head;
  c.n_kv_head = n_kv_head;
  c.d_head = d_head;
  return c;
}

// x [T, d] times the rows of `name` plus its bias: [T, rows]
std::vector<double> project(const ParameterStore& s, const std::string& name, const std::vector<double>& x,
                            Index T) {
  const Tensor W = named(s, "attn.W_" + name), b = named(s, "attn.b_" + name);
  const Index out = W.dim(0), in = W.dim(1);
  std::vector<double> y(static_cast<std::size_t>(T * out));
  for (Index t = 0; t < T; t++)
    for (Index o = 0; o < out; o++) {
      double sum = b.at(o);
      for (Index i = 0; i < in; i++) sum += x[static_cast<std::size_t>(t * in + i)] * W.at(o * in + i);
      y[static_cast<std::size_t>(t * out + o)] = sum;
    }
  return y;
}

// Attention of one sentence as the formula says, head by head, from the named parameters.
std::vector<double> formula(const ParameterStore& s, const std::vector<double>& x, Index T, Index H,
                            Index H_kv, Index D, double scale) {
  const auto q = project(s, "Q", x, T), k = project(s, "K", x, T), v = project(s, "V", x, T);
  std::vector<double> heads(static_cast<std::size_t>(T * H * D));
  for (Index h = 0; h < H; h++)
    for (Index t = 0; t < T; t++) {
      const Index g = h / (H / H_kv);  // the key/value head that this head shares
      auto at = [&](const std::vector<double>& m, Index row, Index width, Index i) {
        return m[static_cast<std::size_t>(row * width + i)];
      };
      std::vector<double> p;
      double total = 0;
      for (Index u = 0; u < T; u++) {
        double score = 0;
        for (Index i = 0; i < D; i++) score += at(q, t, H * D, h * D + i) * at(k, u, H_kv * D, g * D + i);
        p.push_back(std::exp(scale * score));
        total += p.back();
      }
      for (Index u = 0; u < T; u++)
        for (Index i = 0; i < D; i++)
          heads[static_cast<std::size_t>(t * H * D + h * D + i)] +=
              p[static_cast<std::size_t>(u)] / total * at(v, u, H_kv * D, g * D + i);
    }
  return project(s, "O", heads, T);
}

}  // namespace

TEST_CASE("MultiHeadAttention is the formula head by head, with W_Q, W_K, W_V, W_O as named parameters") {
  struct Case {
    Index H, H_kv, D;
    NameOrNumber scale;
    double factor;
  };
  for (const Case& c : {Case{1, 1, 6, std::string("sqrt_d_k"), 1 / std::sqrt(6)},
                        {2, 2, 3, std::string("none"), 1},
                        {3, 1, 2, 0.7, 0.7},
                        {2, 1, 5, 0.1, 0.1}}) {
    ParameterStore store(1, Dtype::f64);
    AttentionConfig a = config(c.H, c.H_kv, c.H * c.D == 6 ? 0 : c.D);
    a.scale = c.scale;
    const MultiHeadAttention attn(Scope(store) / "attn", a, 6);
    randomize(store);
    CHECK(names(store) == std::vector<std::string>{"attn.W_Q", "attn.W_K", "attn.W_V", "attn.b_Q", "attn.b_K",
                                                   "attn.b_V", "attn.W_O", "attn.b_O"});
    CHECK(named(store, "attn.W_K").shape() == Shape{c.H_kv * c.D, 6});
    const Tensor x = normal({2, 4, 6}, Dtype::f64);
    const Tensor y = attn(x, {}).value();
    for (Index b = 0; b < 2; b++)
      CHECK(distance(y.rows(b, 1).to_vector(),
                     formula(store, x.rows(b, 1).to_vector(), 4, c.H, c.H_kv, c.D, c.factor)) < 1e-12);
  }
}

TEST_CASE("identity attention: \"bank grows money\" mixes 0.6 of bank with 0.2 of each other word") {
  // bank . bank = ln 3 and the other products are 0, so the weights are 3 : 1 : 1.
  ParameterStore store(1, Dtype::f64);
  AttentionConfig a = config(1);
  a.qkv = Projections::identity;
  a.scale = std::string("none");
  const MultiHeadAttention attn(Scope(store) / "attn", a, 3);
  CHECK(store.size() == 0);
  const double r = std::sqrt(std::log(3.0));
  const Tensor x = Tensor::from<double>({1, 3, 3}, {r, 0, 0,    // bank
                                                    0, 1, 0,    // grows
                                                    0, 0, 1});  // money
  Capture capture({"weights"});
  const std::vector<double> y = attn(x, {}).value().to_vector();
  const std::vector<double> w = capture.find("attn.weights")->to_vector();
  CHECK(distance({w[0], w[1], w[2]}, {0.6, 0.2, 0.2}) < 1e-12);
  CHECK(distance({y[0], y[1], y[2]}, {0.6 * r, 0.2, 0.2}) < 1e-12);
}

TEST_CASE("identity attention with heads attends within each part of the vectors") {
  ParameterStore store(1, Dtype::f64);
  AttentionConfig a = config(2);
  a.qkv = Projections::identity;
  const MultiHeadAttention two(Scope(store) / "two", a, 4);
  a.n_head = 1;
  const MultiHeadAttention one(Scope(store) / "one", a, 2);
  const Tensor x = normal({1, 3, 4}, Dtype::f64);
  const Tensor y = two(x, {}).value();
  for (Index h = 0; h < 2; h++) {
    Tensor part = Tensor::empty({1, 3, 2}, Dtype::f64);
    for (Index i = 0; i < 6; i++) part.data<double>()[i] = x.at(i / 2 * 4 + h * 2 + i % 2);
    const Tensor alone = one(part, {}).value();
    for (Index i = 0; i < 6; i++) CHECK(y.at(i / 2 * 4 + h * 2 + i % 2) == doctest::Approx(alone.at(i)));
  }
}

TEST_CASE("MultiHeadAttention: gradients of every parameter and of the input, with padding") {
  for (Index n_kv_head : {2, 1}) {
    ParameterStore store(1, Dtype::f64);
    const Scope root(store);
    const MultiHeadAttention attn(root / "attn", config(2, n_kv_head), 4);
    const Parameter x = root.param("x", {2, 3, 4});
    randomize(store);
    Context context;
    context.mask.key_keep = ids({2, 3}, {1, 1, 1, 1, 1, 0});
    CHECK(gradient_error(store, [&] { return attn(x, context); }) < 1e-7);
  }
}

TEST_CASE("every position reaches every other in one layer, and a masked one reaches none") {
  ParameterStore store(1, Dtype::f64);
  const MultiHeadAttention attn(Scope(store) / "attn", config(2), 4);
  const Index T = 6;
  for (bool padded : {false, true}) {
    Context context;
    if (padded) context.mask.key_keep = ids({1, T}, {1, 1, 1, 1, 0, 0});
    for (Index t = 0; t < T; t++) {
      Tape tape;
      const Var x = tape.variable(normal({1, T, 4}, Dtype::f64));
      const Var y = attn(x, context);
      Tensor upstream = Tensor::zeros(y.shape(), Dtype::f64);
      for (Index i = 0; i < 4; i++) upstream.data<double>()[t * 4 + i] = 1;
      Gradients gradients;
      tape.backward_from(y, upstream, gradients);
      const Tensor dx = gradients.of(x);
      for (Index s = 0; s < T; s++) {
        double size = 0;
        for (Index i = 0; i < 4; i++) size += std::abs(dx.at(s * 4 + i));
        const bool masked = padded && s >= 4 && s != t;  // a padded query still reads itself
        CAPTURE(t);
        CAPTURE(s);
        CHECK((size > 0) == !masked);
      }
    }
  }
}

TEST_CASE("asking for the weights changes no bit of the output; their rows sum to 1 over the kept words") {
  ParameterStore store(1);
  const MultiHeadAttention attn(Scope(store) / "layers" / 0 / "attn", config(2), 8);
  const Tensor x = normal({2, 5, 8}, Dtype::f32);
  Context context;
  context.mask.key_keep = ids({2, 5}, {1, 1, 1, 1, 1, 1, 1, 0, 0, 0});
  const Tensor plain = attn(x, context).value();
  Capture all;
  CHECK(distance(attn(x, context).value(), plain) == 0);
  const Tensor* w = all.find("layers.0.attn.weights");
  REQUIRE(w);
  REQUIRE(w->shape() == Shape{2, 2, 5, 5});
  CHECK(all.find("layers.0.attn.qkv")->shape() == Shape{2, 5, 24});
  for (Index row = 0; row < 20; row++) {
    double sum = 0;
    for (Index s = 0; s < 5; s++) sum += w->at(row * 5 + s);
    CHECK(sum == doctest::Approx(1).epsilon(1e-6));
    if (row >= 10) CHECK(w->at(row * 5 + 4) == 0);
  }
}

TEST_CASE("a capture takes only what it was asked for") {
  ParameterStore store(1);
  const MultiHeadAttention attn(Scope(store) / "attn", config(2), 8);
  const Tensor x = normal({1, 2, 8}, Dtype::f32);
  CHECK(Capture::current() == nullptr);
  CHECK(Capture::wanting("weights") == nullptr);
  Capture outer;
  {
    Capture weights({"weights"});
    (void)attn(x, {});
    CHECK(weights.all().size() == 1);
    Capture none({"nothing"});
    (void)attn(x, {});
    CHECK(none.all().empty());
  }
  CHECK(outer.all().empty());
  CHECK(Capture::current() == &outer);
}

TEST_CASE("causal attention does not look ahead") {
  ParameterStore store(1);
  const MultiHeadAttention attn(Scope(store) / "attn", config(2), 8);
  Context context;
  context.mask.causal = true;
  const Tensor x = normal({1, 4, 8}, Dtype::f32);
  Tensor other = x.clone();
  for (Index i = 0; i < 8; i++) other.data<float>()[3 * 8 + i] += 1;
  const Tensor a = attn(x, context).value(), b = attn(other, context).value();
  for (Index i = 0; i < 24; i++) CHECK(a.at(i) == b.at(i));
  CHECK(a.at(31) != b.at(31));
}

namespace {

// MultiHeadAttention with positions that it learns itself, as a model makes it.
std::string check_relative(const RelativeConfig& relative, const std::string& keys) {
  auto make = [=](const Scope& s, const Section& section, Index width) {
    AttentionConfig c = section.read<AttentionConfig>();
    c.relative = relative;
    return std::make_unique<MultiHeadAttention>(s, c, width);
  };
  LayerCheck options{8, keys};
  options.positions = false;  // it has its own
  return join(check_layer(make, options), "\n");
}

}  // namespace

TEST_CASE("attention with normed queries, soft-capped scores, windows and relative positions is sound") {
  const std::string grouped = "n_head = 4\nn_kv_head = 2\n";
  for (const char* keys : {"qk_norm = \"rms\"", "qk_norm = \"rms-gain\"", "softcap = 0.7", "window = 2",
                           "qk_norm = \"rms-gain\"\nsoftcap = 2\nwindow = 3\nwindow_pattern = \"S\""}) {
    CAPTURE(std::string(keys));
    CHECK(check_layer<MultiHeadAttention>({8, grouped + keys}) == std::vector<std::string>{});
  }
  for (const RelativeConfig& relative : {RelativeConfig{0, 2}, {6, 5}}) {
    CAPTURE(relative.buckets);
    CHECK(check_relative(relative, grouped) == "");
    CHECK(check_relative(relative, "softcap = 2\nwindow = 3\nqk_norm = \"rms\"") == "");
  }
}

TEST_CASE("queries and keys are normed head by head, times their gains, and values are not") {
  ParameterStore store(1, Dtype::f64);
  AttentionConfig c = config(4, 2);
  c.qk_norm = QkNorm::rms_gain;
  c.norm_eps = 0.01;
  const MultiHeadAttention attn(Scope(store) / "attn", c, 8);
  CHECK(names(store) == std::vector<std::string>{"attn.W_Q", "attn.W_K", "attn.W_V", "attn.b_Q", "attn.b_K",
                                                 "attn.b_V", "attn.g_Q", "attn.g_K", "attn.W_O", "attn.b_O"});
  CHECK(named(store, "attn.g_K").to_vector() == std::vector<double>{1, 1});
  randomize(store);
  const Tensor x = normal({1, 3, 8}, Dtype::f64);
  const Capture capture;
  (void)attn(x, {});
  for (const auto& [part, gain, heads] :
       {std::tuple{"Q", "attn.g_Q", 4}, {"K", "attn.g_K", 2}, {"V", "", 2}}) {
    std::vector<double> expected = project(store, part, x.to_vector(), 3);
    for (std::size_t i = 0; *gain && i < expected.size(); i += 2) {
      const double a = expected[i], b = expected[i + 1], root = std::sqrt((a * a + b * b) / 2 + 0.01);
      expected[i] = a / root * named(store, gain).at(0),
      expected[i + 1] = b / root * named(store, gain).at(1);
    }
    const char* name = *part == 'Q' ? "attn.queries" : *part == 'K' ? "attn.keys" : "attn.values";
    CHECK(capture.find(name)->shape() == Shape{1, 3, heads, 2});
    CHECK(distance(capture.find(name)->to_vector(), expected) < 1e-13);
  }
}

TEST_CASE("Shaw's positions add q . a_(s - t) to q . k, before the scale, with distances clipped at k") {
  ParameterStore store(1, Dtype::f64);
  AttentionConfig c = config(2);
  c.relative = {0, 1};
  const MultiHeadAttention attn(Scope(store) / "attn", c, 4);
  CHECK(named(store, "attn.a_K").shape() == Shape{3, 2});
  randomize(store);
  const Capture capture;
  (void)attn(normal({1, 4, 4}, Dtype::f64), {});
  const Tensor &q = *capture.find("attn.queries"), &bias = *capture.find("attn.bias"),
               &scores = *capture.find("attn.scores"), &weights = *capture.find("attn.weights");
  const Tensor a = named(store, "attn.a_K");
  for (Index h = 0; h < 2; h++)
    for (Index t = 0; t < 4; t++) {
      double sum = 0;
      for (Index s = 0; s < 4; s++) {
        const Index row = std::clamp<Index>(s - t, -1, 1) + 1, at = (h * 4 + t) * 4 + s;
        const double product =
            q.at((t * 2 + h) * 2) * a.at(row * 2) + q.at((t * 2 + h) * 2 + 1) * a.at(row * 2 + 1);
        CHECK(bias.at(at) == doctest::Approx(product / std::sqrt(2.0)).epsilon(1e-12));
        sum += std::exp(scores.at(at) + bias.at(at));
      }
      for (Index s = 0; s < 4; s++) {
        const Index at = (h * 4 + t) * 4 + s;
        CHECK(weights.at(at) == doctest::Approx(std::exp(scores.at(at) + bias.at(at)) / sum).epsilon(1e-12));
      }
    }
}

TEST_CASE("with a window a token sees those at a distance below it; soft-capped scores stay below the cap") {
  ParameterStore store(1, Dtype::f64);
  AttentionConfig c = config(2);
  c.window = 2;
  c.softcap = 0.5;
  const MultiHeadAttention attn(Scope(store) / "attn", c, 4);
  randomize(store, 3.0);
  for (const bool causal : {false, true}) {
    Context context;
    context.mask.causal = causal;
    const Capture capture;
    (void)attn(normal({1, 5, 4}, Dtype::f64), context);
    const Tensor &weights = *capture.find("attn.weights"), &scores = *capture.find("attn.scores");
    double most = 0;
    for (Index i = 0; i < 50; i++) {
      const Index t = i / 5 % 5, s = i % 5;
      CHECK((weights.at(i) > 0) == (std::abs(t - s) < 2 && (!causal || s <= t)));
      most = std::max(most, std::abs(scores.at(i)));
    }
    CHECK(most <= 0.5);
    CHECK(most > 0.4);
  }
}

TEST_CASE("attention keys are checked against the width, at their place in the config") {
  auto problem = [](const std::string& keys, Index width) {
    const Section root = Section::parse("[model.attention]\n" + keys, "c.toml");
    AttentionConfig c;
    root.section("model").section("attention").read(c);
    c.check(root.section("model").section("attention"), width);
    return message([&] { root.check(); });
  };
  CHECK(problem("n_head = 4", 8) == "accepted");
  CHECK(problem("n_head = 3", 8) ==
        "c.toml:2:10: model.attention.n_head must divide d_model = 8; got 3 (try 2 or 4)");
  CHECK(problem("n_head = 3\nd_head = 5", 8) == "accepted");
  CHECK(problem("n_head = 4\nn_kv_head = 3", 8) ==
        "c.toml:3:13: model.attention.n_kv_head must divide n_head = 4; got 3 (try 2)");
  CHECK(problem("n_head = 2\nqkv = \"identity\"\nd_head = 3", 8).find("with qkv = \"identity\"; got 3 x 2") !=
        std::string::npos);
  CHECK(problem("window = 2\nwindow_pattern = \"SSL\"", 8) == "accepted");
  CHECK(
      problem("window = 2\nwindow_pattern = \"SX\"", 8) ==
      "c.toml:3:18: model.attention.window_pattern must be letters S (window) and L (whole text); got 'SX'");
  CHECK(problem("window_pattern = \"SL\"", 8) ==
        "c.toml:2:18: model.attention.window_pattern needs model.attention.window; got 'SL' without");
  CHECK(problem("qkv = \"identity\"\nqk_norm = \"rms\"", 8) ==
        "c.toml:3:11: model.attention.qk_norm must be \"none\" with qkv = \"identity\"; got \"rms\"");
  CHECK(problem("n_head = 2\nqkv = \"identity\"\nn_kv_head = 1", 8).find("with qkv = \"identity\"; got 1") !=
        std::string::npos);
}
