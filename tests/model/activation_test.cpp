// The named activations of models: they can be read, replaced and ablated, those of a user's layer too, and
// nothing changes where nobody listens.
#include "model/sentences.h"
#include "qkv/autograd/capture.h"
#include "qkv/model/stack.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/replace.h"

using namespace qkv;
using namespace qkv::test;

namespace {

const std::string kTwoLayers =
    "n_layer = 2\nd_model = 4\nmax_seq_len = 6\nattention.n_head = 2\nffn.d_ff = 5\n";
const std::string kNamedModels[] = {
    "type = \"decoder-lm\"\n" + kTwoLayers, "type = \"encoder-decoder\"\n" + kTwoLayers,
    "type = \"encoder-lm\"\nnorm.place = \"post\"\n" + kTwoLayers,
    "type = \"encoder-classifier\"\nposition.type = \"sinusoidal\"\n" + kTwoLayers,
    "type = \"lstm\"\nn_layer = 2\nd_model = 4\nmax_seq_len = 6\n"};

Batch both_texts() {
  Batch batch = batch_of({{{1, 2, 3, 1}, 2}, {{4, 5}, 0}});
  batch.set("source_ids", ids({2, 3}, {7, 8, 9, 1, 2, 0}));
  batch.set("source_keep", ids({2, 3}, {1, 1, 1, 1, 1, 0}));
  return batch;
}

Tensor answer_with(const TestModel& m, const Part& part, const Source& source) {
  const std::string& name = part.name;
  const Intervention change({name.substr(name.rfind('.') + 1)}, replacing({{part, source}}));
  return m.logits(both_texts());
}

// A layer without a line about captures; it looks at each token by itself.
struct OwnLayer : Layer {
  OwnLayer(const Scope& s, const Section&, Index width) : inner(s / "inner", width, width) {}
  Var forward(const Var& x, const Context&) const override { return x + inner(x); }
  Index out_width() const override { return inner.weight.value().dim(0); }
  Linear inner;
};
QKV_REGISTER(Layer, "test-own-layer", OwnLayer, "x + inner(x)");

}  // namespace

TEST_CASE("activations: reading all of them changes no bit of any model") {
  for (const std::string& kind : kNamedModels) {
    CAPTURE(kind);
    const TestModel m(kind);
    const Batch batch = both_texts();
    const Tensor plain = m.logits(batch);
    const Capture all;
    CHECK(same_bits(m.logits(batch), plain));
    CHECK(all.all().size() > 5);
    const Intervention none([](const std::string&, const Var& x) { return x; });
    CHECK(same_bits(m.logits(batch), plain));
  }
}

TEST_CASE("activations: the residual stream is the sum of what the sub-layers add; head.out are the logits") {
  for (const std::string& kind : {kNamedModels[0], kNamedModels[1]}) {
    const TestModel m(kind);
    const std::string stack = kind == kNamedModels[1] ? "decoder." : "";
    Capture c;
    const Tensor logits = m.logits(both_texts());
    auto at = [&](const std::string& name) {
      CAPTURE(name);
      REQUIRE(c.find(name));
      return Var(*c.find(name));
    };
    CHECK(same_bits(at("head.out").value(), logits));
    for (const std::string layer : {"layers.0", "layers.1"}) {
      Var x = at(stack + layer + ".in");
      std::vector<std::string> parts{".attn", ".ffn"};
      if (!stack.empty()) parts.insert(parts.begin() + 1, ".cross_attn");
      for (const std::string& part : parts) {
        x = x + at(stack + layer + part + ".out");
        CHECK(distance(x.value(), at(stack + layer + part + ".residual").value()) < 1e-15);
      }
      CHECK(same_bits(at(stack + layer + ".out").value(), at(stack + layer + ".ffn.residual").value()));
    }
    CHECK(same_bits(at(stack + "norm.out").value(), at("vectors").value()));
    CHECK(same_bits(at(stack + "layers.0.out").value(), at(stack + "layers.1.in").value()));
  }
}

TEST_CASE("a head that is zeroed is the model without its columns of W_O") {
  for (const std::string& kind : {kNamedModels[0], kNamedModels[1], kNamedModels[2], kNamedModels[3]})
    for (const std::string& attn :
         {std::string("layers.1.attn"), std::string("decoder.layers.0.cross_attn")}) {
      const bool crosses = kind == kNamedModels[1];
      if (crosses != (attn.size() > 13)) continue;
      CAPTURE(kind);
      const TestModel m(kind), without(kind);
      Tensor W_O = named(without.store, attn + ".W_O");  // [4, 2 * 2]
      for (Index i = 0; i < 4; i++) W_O.data<double>()[i * 4 + 2] = W_O.data<double>()[i * 4 + 3] = 0;
      const Tensor cut = answer_with(m, {attn + ".heads", 1}, with_zero());
      CHECK(distance(cut, without.logits(both_texts())) < 1e-14);
      CHECK(distance(cut, m.logits(both_texts())) > 1e-3);
    }
}

TEST_CASE("attention weights: replaced by themselves they change only rounding, by others the answer") {
  for (const std::string keys :
       {"", "attention.softcap = 1\nattention.window = 2\nattention.n_kv_head = 1\n",
        "position.type = \"rope\"\nattention.qk_norm = \"rms\"\n",
        "position.type = \"shaw\"\nposition.max_distance = 2\n", "position.type = \"alibi\"\n"})
    for (const std::string& kind : {kNamedModels[0], kNamedModels[1], kNamedModels[2]}) {
      CAPTURE(kind + keys);
      const TestModel m(kind + keys);
      const Tensor plain = m.logits(both_texts());
      std::vector<std::string> seen;
      const Intervention same({"weights"}, [&](const std::string& name, const Var& x) {
        seen.push_back(name);
        return x;
      });
      Capture c({"weights"});
      CHECK(distance(m.logits(both_texts()), plain) < 1e-12);
      REQUIRE(seen.size() == (kind == kNamedModels[1] ? 6 : 2));
      CHECK(c.all().size() == seen.size());
      CHECK(distance(answer_with(m, {seen[1], 0}, with_value(Tensor::scalar(0.25, Dtype::f64))), plain) >
            1e-7);
    }
}

TEST_CASE("the residual stream of another text makes the answer of that text") {
  const TestModel m(kNamedModels[0]);
  const Tensor plain = m.logits(both_texts());  // [2, 4, 10]
  const Tensor swapped = answer_with(m, {"layers.1.in"}, with_rows({0, 0}));
  CHECK(distance(swapped.rows(0, 1), plain.rows(0, 1)) < 1e-15);
  // The second row has two words, and padding after them, which no query of theirs sees.
  CHECK(distance(swapped.rows(1, 1).reshape({4, 10}).rows(0, 2), plain.reshape({8, 10}).rows(0, 2)) < 1e-14);
}

TEST_CASE("a user's layer, and what it is made of, can be read and replaced without a line of its own") {
  const TestModel m(
      "type = \"decoder-lm\"\nd_model = 4\nmax_seq_len = 6\n[[model.layers]]\n"
      "type = \"test-own-layer\"\n");
  Capture c;
  m.logits(both_texts());
  REQUIRE(c.find("layers.0.in"));
  REQUIRE(c.find("layers.0.inner.out"));
  const Var sum = Var(*c.find("layers.0.in")) + Var(*c.find("layers.0.inner.out"));
  CHECK(same_bits(sum.value(), *c.find("layers.0.out")));
  Capture after({"out"});
  answer_with(m, {"layers.0.inner.out", -1, 2}, with_zero());
  const Tensor in = c.find("layers.0.in")->reshape({8, 4}), out = after.find("layers.0.out")->reshape({8, 4}),
               old = c.find("layers.0.out")->reshape({8, 4});
  for (Index t = 0; t < 8; t++)
    CHECK(same_bits(out.rows(t, 1).clone(), (t % 4 == 2 ? in : old).rows(t, 1).clone()));
}

TEST_CASE("replace: means, heads, positions, gradients, and what is refused") {
  const Tensor x = normal({2, 3, 2, 2});
  const Var mean = replaced(x, {"a.heads", 1, 2}, with_mean()({"a.heads"}, x));
  for (Index i = 0; i < x.size(); i++) {
    const Index b = i / 12, t = i / 4 % 3, h = i / 2 % 2, d = i % 2;
    double expected = x.at(i);
    if (t == 2 && h == 1) {
      expected = 0;
      for (Index n = 0; n < 6; n++) expected += x.at(n * 4 + 2 + d) / 6;
    }
    CAPTURE(b);
    CHECK(mean.value().at(i) == doctest::Approx(expected).epsilon(1e-14));
  }
  const Var rows = with_mean()({"a.weights"}, x);  // of weights [B, H, T, S]
  CHECK(rows.shape() == Shape{1, 3, 2, 2});
  Tape tape;
  const Var in = tape.variable(x), by = tape.variable(Tensor::scalar(3.0, Dtype::f64));
  Gradients g;
  tape.backward_from(replaced(in, {"a.heads", 0}, by), Tensor::full(x.shape(), 1.0, Dtype::f64), g);
  CHECK(g.of(by).item() == 12);
  CHECK(g.of(in).to_vector() ==
        std::vector<double>{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1});
  CHECK(message([&] {
          replaced(x, {"a.heads", 2}, x);
        }) == "replace: head of 'a.heads' must be there; got 2 in [2, 3, 2, 2]");
  CHECK(message([&] {
          replaced(normal({2, 3, 4}), {"a.out", 0}, x);
        }) == "replace: head of 'a.out' must be there; got 0 in [2, 3, 4]");
  const Intervention wrong({"a"}, [](const std::string&, const Var&) { return Var(Tensor::zeros({1})); });
  CHECK(message([&] { activation("a", Var(Tensor::zeros({2}))); }) ==
        "intervention: 'a' must stay f32 [2]; got f32 [1]");
}
