// Keys of [model] that change the block: shared layers, value embeddings, residual scalars, relu2, soft-cap
// of the logits; in every model that has them.
#include <cmath>

#include "model/sentences.h"
#include "qkv/autograd/capture.h"
#include "qkv/ops/loss.h"

using namespace qkv;
using namespace qkv::test;

namespace {

const std::string kAll =
    "share_layers = 2\nvalue_embeddings = 2\nresidual_scalars = true\nlogit_softcap = 1.5\n"
    "ffn = { d_ff = 3, activation = \"relu2\" }\n";
const std::string kSize = "d_model = 4\nmax_seq_len = 6\nattention.n_head = 2\n";
const std::string kDecoder = "type = \"decoder-lm\"\nn_layer = 4\n" + kSize;

struct Kind {
  const char* name;
  std::string table;
  Shape answers;  // of the batch
};
const Kind kModernKinds[] = {
    {"decoder-lm", kDecoder, {2, 4}},
    {"encoder-decoder", "type = \"encoder-decoder\"\nn_layer = 2\n" + kSize, {2, 4}},
    {"encoder-lm", "type = \"encoder-lm\"\nn_layer = 4\n" + kSize, {2, 4}},
    {"encoder-classifier", "n_layer = 2\nreadout = \"target+mean\"\n" + kSize, {2}},
};

Batch all_inputs() {
  Batch batch = batch_of({{{1, 2, 3, 1}, 2}, {{4, 5}, 0}});
  batch.set("source_ids", ids({2, 3}, {7, 8, 9, 1, 2, 0}));
  batch.set("source_keep", ids({2, 3}, {1, 1, 1, 1, 1, 0}));
  return batch;
}

std::vector<std::string> starting_with(const ParameterStore& store, const std::string& prefix) {
  std::vector<std::string> found;
  for (const std::string& name : names(store))
    if (name.compare(0, prefix.size(), prefix) == 0) found.push_back(name);
  return found;
}

std::string problem(const std::string& table) {
  return message([&] { TestModel m(table); });
}

}  // namespace

TEST_CASE("the keys of the modern block: every gradient of every model agrees with central differences") {
  const Batch batch = all_inputs();
  for (const Kind& kind : kModernKinds) {
    CAPTURE(kind.name);
    TestModel m(kind.table + kAll);
    const Tensor targets =
        kind.answers.rank() == 1 ? ids({2}, {2, 0}) : ids({2, 4}, {1, 0, 2, 2, 1, -100, 0, 0});
    CrossEntropyOptions options;
    options.z_loss = 0.1;
    CHECK(gradient_error(
              m.store, [&] { return cross_entropy(m.model->forward(batch), targets, options).sum; }) < 1e-6);
  }
}

TEST_CASE("the keys of the modern block: the symbolic pass gives the shapes of the real one") {
  Batch shapes;
  for (const auto& [name, tensor] : all_inputs())
    shapes.set(name, Tensor::symbolic(tensor.shape(), tensor.dtype()));
  for (const Kind& kind : kModernKinds) {
    CAPTURE(kind.name);
    const TestModel real(kind.table + kAll), symbolic(kind.table + kAll, Dtype::f64, true);
    const Var logits = symbolic.model->forward(shapes);
    CHECK(logits.is_symbolic());
    CHECK(logits.shape() == real.logits(all_inputs()).shape());
  }
}

TEST_CASE("soft-capped logits are c tanh(logits / c), whatever the model") {
  const Batch batch = all_inputs();
  std::vector<Kind> kinds(std::begin(kModernKinds), std::end(kModernKinds));
  for (const char* cell : {"rnn", "lstm", "gru"})
    kinds.push_back({cell, fmt::format("type = \"{}\"\nd_model = 4\nmax_seq_len = 6\n", cell), {2}});
  for (const Kind& kind : kinds) {
    CAPTURE(kind.name);
    const Tensor plain = TestModel(kind.table).logits(batch),
                 capped = TestModel(kind.table + "logit_softcap = 0.25\n").logits(batch);
    Tensor expected = plain.clone();
    for (Index i = 0; i < plain.size(); i++)
      expected.data<double>()[i] = 0.25 * std::tanh(plain.at(i) / 0.25);
    CHECK(distance(capped, expected) < 1e-13);
    CHECK(distance(capped, plain) > 0.01);
  }
  CHECK(problem("logit_softcap = -1.0") == "c.toml:2:17: model.logit_softcap must not be negative; got -1.0");
}

TEST_CASE("shared layers: the parameters of a group are those of its first block, and are counted once") {
  const TestModel four(kDecoder), shared(kDecoder + "share_layers = 2"), one(kDecoder + "share_layers = 4");
  Index block = 0;
  for (const std::string& name : starting_with(four.store, "layers.0."))
    block += named(four.store, name).size();
  CHECK(starting_with(shared.store, "layers.1.").empty());
  CHECK(starting_with(shared.store, "layers.3.").empty());
  CHECK(starting_with(shared.store, "layers.2.").size() == starting_with(four.store, "layers.2.").size());
  CHECK(starting_with(one.store, "layers.").size() == starting_with(four.store, "layers.0.").size());
  CHECK(shared.store.count() == four.store.count() - 2 * block);
  CHECK(one.store.count() == four.store.count() - 3 * block);
}

TEST_CASE("a model of shared layers is the model whose blocks have equal parameters") {
  const Batch batch = all_inputs();
  for (const std::string norm : {"norm.place = \"pre\"\n", "norm.place = \"post\"\n"}) {
    const TestModel shared(kDecoder + norm + "share_layers = 2"), apart(kDecoder + norm);
    for (NamedTensor& own : apart.store.named()) {
      std::string name = own.name;
      for (const auto& [from, to] : {std::pair("layers.1.", "layers.0."), {"layers.3.", "layers.2."}})
        if (name.compare(0, 9, from) == 0) name.replace(0, 9, to);
      own.tensor.copy_from(named(shared.store, name));
    }
    CHECK(same_bits(shared.logits(batch), apart.logits(batch)));
    Capture capture({"weights"});
    shared.logits(batch);
    std::vector<std::string> seen;
    for (const auto& [name, tensor] : capture.all()) seen.push_back(name);
    CHECK(seen == std::vector<std::string>{"layers.0.attn.weights", "layers.1.attn.weights",
                                           "layers.2.attn.weights", "layers.3.attn.weights"});
  }
}

TEST_CASE("shared layers: the number of blocks must be a multiple, and a list of layers has none") {
  CHECK(problem(kDecoder + "share_layers = 3") ==
        "c.toml:7:16: model.share_layers must divide the number of blocks, 4; got 3");
  CHECK(problem(kDecoder + "share_layers = 0") ==
        "c.toml:7:16: model.share_layers must be between 1 and 1000; got 0");
  CHECK(problem("type = \"encoder-decoder\"\nn_encoder_layer = 2\nn_decoder_layer = 3\nshare_layers = 2\n")
            .find("must divide the number of blocks, 3; got 2") != std::string::npos);
  CHECK(problem("share_layers = 2\n[[model.layers]]\ntype = \"block\"\n")
            .find("model.share_layers must be 1 with [[model.layers]]") != std::string::npos);
}

TEST_CASE("value embeddings change the values of their layers alone, by a V + b E") {
  const std::string base =
      "n_layer = 3\nattention.n_head = 4\nattention.n_kv_head = 2\nattention.d_head = 3\nd_model = 4\n";
  const TestModel m(base + "value_embeddings = 2");
  CHECK(starting_with(m.store, "value_embed.") ==
        std::vector<std::string>{"value_embed.0.weight", "value_embed.0.lambdas", "value_embed.2.weight",
                                 "value_embed.2.lambdas"});
  CHECK(named(m.store, "value_embed.2.weight").shape() == Shape{10, 6});
  // The first layer has the same input with and without.
  const TestModel plain(base);
  for (NamedTensor& own : plain.store.named()) own.tensor.copy_from(named(m.store, own.name));
  const Batch batch = all_inputs();
  auto first_qkv = [&](const TestModel& model) {
    Capture capture({"qkv"});
    model.logits(batch);
    return capture.find("layers.0.attn.qkv")->clone();  // [2, 4, (4 + 2 * 2) * 3]
  };
  const Tensor with = first_qkv(m), without = first_qkv(plain), E = named(m.store, "value_embed.0.weight"),
               ab = named(m.store, "value_embed.0.lambdas");
  const Tensor words = batch.at("ids");
  for (Index row = 0; row < 8; row++)
    for (Index c = 0; c < 24; c++) {
      const double old = without.at(row * 24 + c);
      const double expected =
          c < 18 ? old : ab.at(0) * old + ab.at(1) * E.at(Index(words.at(row)) * 6 + c - 18);
      CHECK(with.at(row * 24 + c) == doctest::Approx(expected).epsilon(1e-12));
    }
}

TEST_CASE("value embeddings and residual scalars start as they are documented") {
  ParameterStore store(1, Dtype::f64);
  const Section config =
      Section::parse("[model]\n" + kDecoder + "value_embeddings = 1\nresidual_scalars = true\n");
  const auto model = make_model(Scope(store), config.section("model"), {10, 0, 0});
  CHECK(named(store, "value_embed.3.lambdas").to_vector() == std::vector<double>{0.5, 0.5});
  CHECK(named(store, "residual.3.lambdas").to_vector() == std::vector<double>{1, 0});
  double squares = 0;
  for (double v : named(store, "value_embed.0.weight").to_vector()) squares += v * v;
  CHECK(squares / 10 == doctest::Approx(1).epsilon(0.5));  // rows of length 1
}

TEST_CASE("value embeddings need tokens, and attention with a learned W_V") {
  CHECK(problem(kSize + "attention.qkv = \"identity\"\nposition.type = \"none\"\nvalue_embeddings = 1") ==
        "c.toml:7:20: model.value_embeddings needs attention.type = \"attention\" with a learned W_V; got "
        "\"attention\" with qkv = \"identity\"");
  CHECK(problem(kDecoder + "attention.type = \"test-window\"\nvalue_embeddings = 1")
            .find("needs attention.type = \"attention\" with a learned W_V; got \"test-window\"") !=
        std::string::npos);
  CHECK(problem("value_embeddings = 1\n[[model.layers]]\ntype = \"block\"\n")
            .find("model.value_embeddings must be 0 with [[model.layers]]") != std::string::npos);
}

TEST_CASE("residual scalars that are (1, 0) change no bit, and others add the first input") {
  const Batch batch = all_inputs();
  const TestModel plain(kDecoder), scaled(kDecoder + "residual_scalars = true");
  CHECK(starting_with(scaled.store, "residual.").size() == 4);
  for (NamedTensor& own : scaled.store.named()) {
    if (own.name.compare(0, 9, "residual.") == 0)
      own.tensor.copy_from(Tensor::from<double>({2}, {1, 0}));
    else
      own.tensor.copy_from(named(plain.store, own.name));
  }
  CHECK(same_bits(plain.logits(batch), scaled.logits(batch)));
  // Before the first layer x is x0.
  named(scaled.store, "residual.0.lambdas").copy_from(Tensor::from<double>({2}, {0.5, 0.5}));
  CHECK(distance(plain.logits(batch), scaled.logits(batch)) < 1e-13);
  named(scaled.store, "residual.2.lambdas").copy_from(Tensor::from<double>({2}, {1, 0.5}));
  CHECK(distance(plain.logits(batch), scaled.logits(batch)) > 1e-3);
  CHECK(
      problem(
          "residual_scalars = true\n[[model.layers]]\ntype = \"linear\"\nd_out = 5\n[[model.layers]]\ntype = "
          "\"linear\"\nd_out = 32\n")
          .find("model.residual_scalars needs layers of the width d_model = 32; got 5 before layer 1") !=
      std::string::npos);
}
