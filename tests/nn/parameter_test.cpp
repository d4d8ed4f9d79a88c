#include "qkv/nn/parameter.h"

#include "nn/layer_check.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/matmul.h"

using namespace qkv;
using namespace qkv::test;
using Names = std::vector<std::string>;

namespace {

// "a.weight" [2, 3], "a.bias" [2], packed "b.W_Q" [2, 3], "b.W_K" [1, 3], "b.W_V" [1, 3]
struct Example {
  ParameterStore store{1, Dtype::f64};
  Scope root{store};
  Linear a{root / "a", 3, 2};
  Parameter b = (root / "b").packed({"W_Q", "W_K", "W_V"}, {2, 1, 1}, {3}, init::normal(1));
};

}  // namespace

TEST_CASE("parameters keep the order of their making and are named by their path") {
  Example e;
  CHECK(names(e.store) == Names{"a.weight", "a.bias", "b.W_Q", "b.W_K", "b.W_V"});
  CHECK(e.store.size() == 3);
  CHECK(e.store.count() == 6 + 2 + 12);
  CHECK(e.a.weight.name() == "a.weight");
  CHECK(e.b.name() == "b.W_Q");
  CHECK(e.store.slot(e.a.bias.slot()).vector);
  CHECK_FALSE(e.store.slot(e.b.slot()).vector);
}

TEST_CASE("the parts of a packed parameter are rows of one tensor with one gradient") {
  Example e;
  CHECK(e.b.value().shape() == Shape{4, 3});
  const Tensor W_K = named(e.store, "b.W_K");
  CHECK(W_K.shape() == Shape{1, 3});
  CHECK(test::share_buffer(W_K, e.b.value()));
  CHECK(W_K.at(0) == e.b.value().at(6));
  Tape tape;
  const Gradients g = tape.backward(sum(e.b));
  CHECK(g.of_slot(e.b.slot()).shape() == Shape{4, 3});
}

TEST_CASE("a parameter starts from the same values whatever else the model has") {
  Example e;
  ParameterStore other(1, Dtype::f64);
  const Scope root(other);
  Linear more(root / "more", 5, 5);
  Linear a(root / "a", 3, 2);
  const Parameter W_K = (root / "b").param("W_K", {1, 3}, init::normal(1));
  CHECK(distance(a.weight.value(), e.a.weight.value()) == 0);
  CHECK(distance(W_K.value(), named(e.store, "b.W_K")) == 0);  // packed or not
  CHECK(distance(named(e.store, "b.W_K"), named(e.store, "b.W_V")) > 0);
  ParameterStore seed2(2, Dtype::f64);
  CHECK(distance(Linear(Scope(seed2) / "a", 3, 2).weight.value(), a.weight.value()) > 0);
}

TEST_CASE("an f32 model starts from the rounded values of the f64 model") {
  ParameterStore narrow(1, Dtype::f32), wide(1, Dtype::f64);
  const Linear a(Scope(narrow) / "a", 3, 2), b(Scope(wide) / "a", 3, 2);
  CHECK(distance(a.weight.value(), b.weight.value().to(Dtype::f32)) == 0);
}

TEST_CASE("names are unique, and a scope takes neither empty nor dotted names") {
  Example e;
  CHECK(message([&] { e.root.param("x", {1}), e.root.param("x", {1}); }) ==
        "parameter 'x': name must be unique; got it twice");
  CHECK(message([&] { (e.root / "b").param("W_V", {1}); }) ==
        "parameter 'b.W_V': name must be unique; got it twice");
  CHECK(message([&] {
          e.root.packed({"y", "y"}, {1, 1}, {}, init::zeros());
        }) == "parameter 'y': name must be unique; got it twice");
  CHECK(message([&] {
          e.root.packed({"y", "z"}, {1}, {}, init::zeros());
        }) == "parameter 'y': a packed one must have a number of rows for each name; got 1 for 2");
  CHECK(message([&] { (void)(e.root / ""); }) == "scope '': a name must not be empty or hold a dot; got ''");
  CHECK(message([&] { (void)(e.root / "a" / "b.c"); }) ==
        "scope 'a': a name must not be empty or hold a dot; got 'b.c'");
  CHECK(message([&] { e.root.param("s", {}); }) ==
        "parameter 's': must have at least one axis; got a scalar");
}

TEST_CASE("an empty handle is an undefined Var, and has neither value nor name") {
  const Parameter none;
  CHECK_FALSE(none.defined());
  CHECK_FALSE(none.var().defined());
  CHECK(message([&] { (void)none.value(); }) == "parameter: must be made by a Scope; got an empty handle");
  CHECK(message([&] { (void)none.name(); }) == "parameter: must be made by a Scope; got an empty handle");
}

TEST_CASE("copying a handle ties weights: one value, and one gradient that is the sum of both uses") {
  ParameterStore store(1, Dtype::f64);
  const Parameter W = Scope(store).param("W", {3, 3}, init::normal(1));
  const Parameter tied = W;
  const Var x = normal({2, 3}, Dtype::f64);
  auto gradient = [&](const std::function<Var()>& f) {
    Tape tape;
    return tape.backward(f()).of_slot(W.slot()).clone();
  };
  CHECK(store.size() == 1);
  CHECK(test::share_buffer(tied.value(), W.value()));
  const Tensor both = gradient([&] { return sum(linear(x, W)) + sum(square(linear(x, tied))); });
  const Tensor first = gradient([&] { return sum(linear(x, W)); });
  const Tensor second = gradient([&] { return sum(square(linear(x, W))); });
  CHECK(distance(both, (Var(first) + Var(second)).value()) < 1e-14);
}

TEST_CASE("without a tape a parameter is a constant") {
  Example e;
  CHECK(e.b.var().node() == -1);
  Tape tape;
  CHECK(e.b.var().node() >= 0);
}

TEST_CASE("freeze: patterns with stars; part of a packed tensor stays trainable") {
  Example e;
  e.store.freeze({"b.W_*", "a.bias"});
  CHECK(e.store.trainable_count() == 6);
  Example some;
  some.store.freeze({"*.W_K", "*bias*"});
  CHECK(some.store.trainable_count() == 20 - 3 - 2);
  CHECK_FALSE(some.store.slot(some.b.slot()).frozen());
  CHECK(some.store.slot(some.b.slot()).parts[1].frozen);
  CHECK(some.store.slot(some.a.bias.slot()).frozen());
  Tape tape;
  CHECK(some.a.bias.var().node() == -1);  // no gradient is computed for what is frozen throughout
  CHECK(some.b.var().node() >= 0);
  Example all;
  all.store.freeze({"*"});
  CHECK(all.store.trainable_count() == 0);
}

TEST_CASE("freeze: a pattern that matches nothing is an error with a suggestion") {
  Example e;
  CHECK(message([&] { e.store.freeze({"a.wieght"}); }) ==
        "train.freeze: pattern must match a parameter; got 'a.wieght' (did you mean 'a.weight'?)");
  CHECK(message([&] { e.store.freeze({""}); }).find("must match a parameter; got ''") != std::string::npos);
  CHECK(message([&] { e.store.freeze({"a.weight*x"}); }).find("got 'a.weight*x'") != std::string::npos);
  CHECK(message([&] { e.store.freeze({"a"}); }).find("got 'a'") != std::string::npos);
}

TEST_CASE("freeze: a pattern with many stars takes no exponential time") {
  ParameterStore store(1);
  std::string name(60, 'a'), pattern;
  for (int i = 0; i < 30; i++) pattern += "a*";
  Scope(store).param(name, {1});
  CHECK(message([&] { store.freeze({pattern + "b"}); }).find("must match") != std::string::npos);
  store.freeze({pattern});
  CHECK(store.trainable_count() == 0);
}

TEST_CASE("load: values go in by name, also into parts of a packed tensor and from another dtype") {
  Example from, to;
  randomize(from.store);
  std::vector<NamedTensor> values = from.store.named();
  std::swap(values[0], values[4]);
  CHECK(to.store.load(values, "file") == 5);
  for (const std::string& name : names(to.store))
    CHECK(distance(named(to.store, name), named(from.store, name)) == 0);
  for (NamedTensor& value : values) value.tensor = value.tensor.to(Dtype::f32);
  CHECK(to.store.load(values, "file") == 5);
  CHECK(distance(to.b.value(), from.b.value().to(Dtype::f32).to(Dtype::f64)) == 0);
}

TEST_CASE("load: missing, unexpected and wrongly shaped names are listed at once, and nothing is changed") {
  Example e;
  const Tensor before = e.a.bias.value().clone();
  std::vector<NamedTensor> values = e.store.named();
  values.erase(values.begin());                   // a.weight
  values[0].tensor = normal({2}, Dtype::f64);     // a.bias, right
  values[1].tensor = normal({2, 4}, Dtype::f64);  // b.W_Q
  values.push_back({"b.W_O", normal({3, 3}, Dtype::f64)});
  CHECK(message([&] { e.store.load(values, "model.safetensors"); }) ==
        "model.safetensors: tensors must match the model; 'a.weight' [2, 3] is missing; 'b.W_Q' has shape "
        "[2, 4]; model expects [2, 3]; 'b.W_O' is not in the model");
  CHECK(distance(e.a.bias.value(), before) == 0);
}

TEST_CASE("load: another number of word vectors points at the vocabulary") {
  ParameterStore store(1);
  (Scope(store) / "embed").param("weight", {130, 4});
  CHECK(message([&] {
          store.load({{"embed.weight", Tensor::zeros({128, 4})}}, "f");
        }) ==
        "f: tensors must match the model; 'embed.weight' has shape [128, 4]; model expects [130, 4] "
        "(vocabulary changed?)");
}

TEST_CASE("load: a warm start takes the names both have, but no wrong shapes") {
  Example e;
  const Tensor bias = normal({2}, Dtype::f64);
  CHECK(e.store.load({{"a.bias", bias}, {"old.head", bias}}, "run", true) == 1);
  CHECK(distance(e.a.bias.value(), bias) == 0);
  CHECK(e.store.load({{"old.head", bias}}, "run", true) == 0);
  CHECK(message([&] {
          e.store.load({{"a.weight", bias}}, "run", true);
        }) == "run: tensors must match the model; 'a.weight' has shape [2]; model expects [2, 3]");
}

TEST_CASE("load: values that are not finite are refused by name") {
  Example e;
  for (const double bad : {NAN, INFINITY, -INFINITY}) {
    Tensor bias = normal({2}, Dtype::f64);
    bias.data<double>()[1] = bad;
    CHECK(message([&] {
            e.store.load({{"a.bias", bias}}, "run", true);
          }) ==
          fmt::format("run: tensors must match the model; 'a.bias' is not finite: {} at element 1", bad));
  }
}

TEST_CASE("a symbolic store has shapes without values") {
  ParameterStore store(1, Dtype::f32, true);
  const Linear a(Scope(store) / "a", 3, 2);
  CHECK(a.weight.value().is_symbolic());
  CHECK(a(Tensor::symbolic({5, 3})).shape() == Shape{5, 2});
  CHECK(store.count() == 8);
  CHECK(store.load({{"a.weight", Tensor::zeros({2, 3})}}, "f", true) == 1);  // checks only
}
