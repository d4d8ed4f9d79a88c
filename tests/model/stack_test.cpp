#include "qkv/model/stack.h"

#include "model/sentences.h"
#include "qkv/ops/shape_ops.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Doubles the width: [x, factor * x]. What a user's layer looks like.
struct Widen : Layer {
  Widen(const Scope& s, const Section& config, Index width)
      : width(width), factor(s.param("factor", {width}, init::constant(config.get("factor", 1.0)))) {}
  Var forward(const Var& x, const Context&) const override {
    QKV_CHECK(x.dim(1) != 3, "widen: length must not be 3; got 3");
    return concat({x, x * factor}, -1);
  }
  Index out_width() const override { return 2 * width; }

  Index width;
  Parameter factor;
};
QKV_REGISTER(Layer, "test-widen", Widen, "x beside factor * x");

struct TestStack {
  explicit TestStack(const std::string& text, Index d_model = 4)
      : config(Section::parse(text, "c.toml")), stack(Scope(store), config.section("model"), read(d_model)) {
    config.finish();
  }
  StackConfig read(Index d_model) const {
    StackConfig c;
    c.d_model = d_model;
    config.section("model").read(c);
    return c;
  }
  ParameterStore store{1, Dtype::f64};
  Section config;
  Stack stack;
};

}  // namespace

TEST_CASE("a stack has n_layer blocks; pre-norm stacks end with a norm") {
  CHECK(TestStack("[model]\nn_layer = 3").stack.layers.size() == 3);
  CHECK(TestStack("").stack.norm);
  CHECK_FALSE(TestStack("[model.norm]\nplace = \"post\"").stack.norm);
  const TestStack empty("[model]\nn_layer = 0");
  const Tensor x = normal({1, 2, 4}, Dtype::f64);
  CHECK(empty.store.size() == 0);
  CHECK(test::share_buffer(empty.stack(x, {}).value(), x));
}

TEST_CASE("a stack of listed layers has a limit, as n_layer has one") {
  std::string text;
  for (int i = 0; i < 1001; i++) text += "[[model.layers]]\ntype = \"layernorm\"\n";
  CHECK_THROWS_WITH(TestStack{text}, "c.toml:1:1: model.layers must have at most 1000 layers; got 1001");
}

TEST_CASE("a stack applies its blocks in turn, then the norm") {
  const TestStack s("[model]\nn_layer = 2\nffn.d_ff = 5");
  const Var x = normal({2, 3, 4}, Dtype::f64);
  const Var y = (*s.stack.norm)(s.stack.layers[1]->forward(s.stack.layers[0]->forward(x, {}), {}));
  CHECK(distance(s.stack(x, {}).value(), y.value()) == 0);
}

TEST_CASE("the pattern of windows goes through the layers and begins again") {
  const TestStack s("[model]\nn_layer = 5\nattention.window = 2\nattention.window_pattern = \"SSL\"");
  const Tensor x = normal({1, 4, 4}, Dtype::f64);
  Tensor other = x.clone();
  other.data<double>()[0] += 1;
  for (std::size_t i = 0; i < 5; i++) {  // whether the last token sees the first
    const auto last = [&](const Tensor& x) {
      return s.stack.layers[i]->forward(x, {}).value().reshape({4, 4}).rows(3, 1).clone();
    };
    CHECK((distance(last(x), last(other)) > 0) == (i == 2));
  }
  CHECK_THROWS_WITH(
      TestStack("[[model.layers]]\nattention.window = 2\nattention.window_pattern = \"SL\""),
      "c.toml:3:28: model.layers[0].attention.window_pattern must be left out of a single layer; got "
      "'SL'");
}

TEST_CASE("an explicit list of layers is the whole stack, each with its own keys and width") {
  const TestStack s(
      "[[model.layers]]\ntype = \"test-widen\"\nfactor = 3.0\n"
      "[[model.layers]]\ntype = \"block\"\nffn.d_ff = 2\nattention.n_head = 8\n");
  CHECK(s.stack.layers.size() == 2);
  CHECK(s.stack.out_width() == 8);
  CHECK_FALSE(s.stack.norm);
  CHECK(named(s.store, "layers.0.factor").to_vector() == std::vector<double>{3, 3, 3, 3});
  CHECK(named(s.store, "layers.1.ffn.up.weight").shape() == Shape{2, 8});
  const Tensor x = normal({1, 2, 4}, Dtype::f64);
  CHECK(s.stack(x, {}).shape() == Shape{1, 2, 8});
}

TEST_CASE("adding a layer does not change the initial values of the others") {
  const TestStack one("[model]\nn_layer = 1"), two("[model]\nn_layer = 2");
  for (const std::string& name : names(one.store))
    CHECK(distance(named(one.store, name), named(two.store, name)) == 0);
}

TEST_CASE("the keys of an unused attention table need not fit an explicit list") {
  CHECK(TestStack("[model]\nd_model = 5\n[[model.layers]]\ntype = \"test-widen\"").stack.out_width() == 10);
  CHECK(message([] { TestStack("[model]\nd_model = 5"); }).find("n_head must divide d_model = 5; got 2") !=
        std::string::npos);
}

TEST_CASE("a listed layer's errors name it: unknown types, unknown keys, wrong shapes at run time") {
  CHECK(message([] {
          TestStack("[[model.layers]]\ntype = \"test-widem\"");
        }).find("did you mean 'test-widen'?") != std::string::npos);
  CHECK(message([] {
          TestStack("[[model.layers]]\ntype = \"test-widen\"\nfaktor = 1.0");
        }).find("c.toml:3:1") == 0);
  const TestStack s("[[model.layers]]\ntype = \"test-widen\"");
  CHECK(message([&] {
          (void)s.stack(normal({1, 3, 4}, Dtype::f64), {});
        }) == "widen: length must not be 3; got 3 (in layers.0)");
}
