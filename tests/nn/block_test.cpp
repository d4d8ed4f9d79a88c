#include "qkv/nn/block.h"

#include "nn/layer_check.h"

using namespace qkv;
using namespace qkv::test;

namespace {

Section section(const std::string& text) {
  return Section::parse("[layer]\n" + text, "c.toml").section("layer");
}

}  // namespace

TEST_CASE("a block is attention and feed-forward with residuals; the norms stand before or after") {
  for (const char* place : {"pre", "post"}) {
    ParameterStore store(1, Dtype::f64);
    const Block block(Scope(store) / "b",
                      section(std::string("ffn.d_ff = 5\nnorm.place = \"") + place + "\""), 4);
    randomize(store);
    const Var x = normal({2, 3, 4}, Dtype::f64);
    Var y;
    if (std::string(place) == "pre") {
      y = x + block.attn->forward(block.norm1(x), {});
      y = y + (*block.ffn)((*block.norm2)(y));
    } else {
      y = block.norm1(x + block.attn->forward(x, {}));
      y = (*block.norm2)(y + (*block.ffn)(y));
    }
    CHECK(distance(block.forward(x, {}).value(), y.value()) < 1e-13);
    CHECK(block.out_width() == 4);
  }
}

TEST_CASE("d_ff = 0 leaves out the feed-forward half") {
  ParameterStore store(1);
  const Block block(Scope(store) / "b", section("ffn.d_ff = 0"), 4);
  CHECK_FALSE(block.ffn);
  for (const std::string& name : names(store))
    CHECK((name.find("b.attn.") == 0 || name.find("b.norm1.") == 0));
}

TEST_CASE("a block: gradients of every parameter and of the input agree with central differences") {
  for (const char* keys : {"norm.place = \"pre\"\nffn.activation = \"swiglu\"",
                           "norm.place = \"post\"\nnorm.type = \"rmsnorm\"\nattention.n_kv_head = 1"}) {
    ParameterStore store(1, Dtype::f64);
    const Scope root(store);
    const Block block(root / "b", section(std::string("ffn.d_ff = 3\n") + keys), 4);
    const Parameter x = root.param("x", {2, 3, 4});
    randomize(store);
    Context context;
    context.mask.key_keep = ids({2, 3}, {1, 1, 1, 1, 0, 0});
    CHECK(gradient_error(store, [&] { return block.forward(x, context); }) < 1e-6);
  }
}

TEST_CASE("a block's dropout is silent without randomness, and repeats with the same stream") {
  ParameterStore store(1);
  const Block block(Scope(store) / "b", section("dropout = 0.5"), 8);
  const Tensor x = normal({2, 3, 8}, Dtype::f32);
  auto forward = [&](std::uint64_t seed) {
    Tape tape(Stream(seed, "dropout"));
    return block.forward(x, {}).value();
  };
  const Tensor quiet = block.forward(x, {}).value();
  CHECK(distance(forward(1), quiet) > 1e-3);
  CHECK(distance(forward(1), forward(1)) == 0);
  CHECK(distance(forward(1), forward(2)) > 1e-3);
}

TEST_CASE("a block's keys are checked at their place") {
  ParameterStore store(1);
  const Section three = section("attention.n_head = 3");
  const Block block(Scope(store) / "b", three, 8);
  CHECK(message([&] { three.check(); }) ==
        "c.toml:2:20: layer.attention.n_head must divide d_model = 8; got 3 (try 2 or 4)");
}
