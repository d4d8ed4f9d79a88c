#include <doctest/doctest.h>

#include "nn/layer_check.h"
#include "qkv/base/make.h"
#include "qkv/nn/attention.h"
#include "qkv/nn/layer.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/norm.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// A layer as [[model.layers]] makes it.
struct Listed {
  explicit Listed(const std::string& keys, Index width = 6)
      : root(Section::parse("[layer]\n" + keys, "c.toml")),
        layer(make<Layer>(root.section("layer"), "block", Scope(store) / "a", root.section("layer"), width)) {
    root.finish();
  }
  ParameterStore store{3, Dtype::f64};
  Section root;
  std::unique_ptr<Layer> layer;
};

const Tensor kInput = normal({2, 3, 6}, Dtype::f64);

}  // namespace

TEST_CASE("listed layers compute what the structs of the same kind compute, with the same parameters") {
  ParameterStore store(3, Dtype::f64);
  const Scope a = Scope(store) / "a";
  Context context;
  context.mask.causal = true;
  {
    const Listed l("type = \"linear\"\nd_out = 4");
    CHECK(l.layer->out_width() == 4);
    CHECK(names(l.store) == std::vector<std::string>{"a.weight", "a.bias"});
    CHECK(distance(l.layer->forward(kInput, context).value(), Linear(a, 6, 4)(kInput).value()) == 0);
  }
  {
    const Listed l("type = \"feed-forward\"\nd_ff = 5\nactivation = \"swiglu\"");
    const FeedForward ffn(a / "ffn", {5, Activation::swiglu}, 6);
    CHECK(l.layer->out_width() == 6);
    CHECK(names(l.store).front() == "a.up.weight");
    CHECK(l.layer->forward(kInput, context).shape() == kInput.shape());
  }
  {
    const Listed l("type = \"attention\"\nn_head = 3");
    ParameterStore own(3, Dtype::f64);
    AttentionConfig c;
    c.n_head = 3;
    const MultiHeadAttention attn(Scope(own) / "a", c, 6);
    CHECK(names(l.store) == names(own));
    CHECK(distance(l.layer->forward(kInput, context).value(), attn(kInput, context).value()) == 0);
  }
  for (NormType kind : {NormType::layernorm, NormType::rmsnorm}) {
    const std::string type = text_of(kind);
    const Listed l("type = \"" + type + "\"\neps = 0.5");
    ParameterStore own(3, Dtype::f64);
    const Norm norm(Scope(own) / "a", {kind, NormPlace::pre, 0.5}, 6);
    CHECK(names(l.store) == names(own));
    CHECK(distance(l.layer->forward(kInput, context).value(), norm(kInput).value()) == 0);
  }
}

TEST_CASE("a listed linear layer keeps the width unless a key changes it, and may go without a bias") {
  const Listed l("type = \"linear\"\nbias = false\nd_in = 6");
  CHECK(l.layer->out_width() == 6);
  CHECK(names(l.store) == std::vector<std::string>{"a.weight"});
}

TEST_CASE("a listed dropout layer acts only while a random tape records") {
  const Listed l("type = \"dropout\"\np = 0.5");
  CHECK(l.store.size() == 0);
  CHECK(distance(l.layer->forward(kInput, {}).value(), kInput) == 0);
  const Tape tape(Stream(1, "dropout"));
  CHECK(distance(l.layer->forward(kInput, {}).value(), kInput) > 0.1);
}

TEST_CASE("gradients of the listed layers") {
  for (const char* keys : {"type = \"linear\"\nd_out = 4", "type = \"feed-forward\"\nd_ff = 5",
                           "type = \"attention\"", "type = \"layernorm\"", "type = \"rmsnorm\""}) {
    CAPTURE(std::string(keys));
    Listed l(keys);
    randomize(l.store);
    CHECK(gradient_error(l.store, [&] { return l.layer->forward(kInput, {}); }) < 1e-6);
  }
}
