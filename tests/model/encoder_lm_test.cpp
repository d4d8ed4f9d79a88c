#include "model/encoder.h"

#include "model/sentences.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/shape_ops.h"

using namespace qkv;
using namespace qkv::test;

namespace {

const std::string kBert =
    "d_model = 4\nn_layer = 1\nmax_seq_len = 6\nembed_norm = true\ntoken_types = 2\n"
    "ffn = { d_ff = 3, activation = \"gelu-erf\" }\nnorm = { place = \"post\", eps = 1e-12 }\n"
    "attention.n_head = 2\n";
const std::string kLm = "type = \"encoder-lm\"\n" + kBert;

Batch pair_batch() {
  Batch batch = batch_of({{{1, 2, 3, 1}, 2}, {{4, 5}, 0}});
  batch.set("token_types", ids({2, 4}, {0, 0, 1, 1, 0, 1, 0, 0}));
  return batch;
}

}  // namespace

TEST_CASE("encoder-lm: a BERT has a norm of its embeddings, token types, and a head with a tied table") {
  const TestModel m(kLm);
  const std::vector<std::string> all = names(m.store);
  CHECK(std::vector<std::string>(all.begin(), all.begin() + 5) ==
        std::vector<std::string>{"embed.weight", "token_types.weight", "position.weight", "embed_norm.weight",
                                 "embed_norm.bias"});
  CHECK(std::vector<std::string>(all.end() - 5, all.end()) ==
        std::vector<std::string>{"mlm.dense.weight", "mlm.dense.bias", "mlm.norm.weight", "mlm.norm.bias",
                                 "mlm.bias"});
  CHECK(std::count(all.begin(), all.end(), "norm.weight") == 0);  // post-norm
  CHECK(names(TestModel(kLm + "tie_embeddings = false").store).back() == "mlm.bias");
  CHECK(named(TestModel(kLm + "tie_embeddings = false").store, "mlm.weight").shape() == Shape{10, 4});
}

TEST_CASE("encoder-lm: a whole model's gradients agree with central differences") {
  Batch batch = pair_batch();
  const Tensor targets = ids({2}, {7, 3});
  batch.set("masked", ids({2}, {1, 5}));
  for (const char* keys : {"", "tie_embeddings = false"}) {
    TestModel m(kLm + keys);
    CHECK(gradient_error(m.store, [&] { return cross_entropy(m.model->forward(batch), targets).sum; }) <
          1e-6);
  }
  for (const char* pooler : {"tanh", "relu"}) {
    TestModel m(kBert + "pooler = \"" + pooler + "\"");
    CHECK(gradient_error(m.store, [&] {
            return cross_entropy(m.model->forward(batch), ids({2}, {2, 0})).sum;
          }) < 1e-6);
  }
}

TEST_CASE("encoder-lm: the positions asked for give the rows of all logits, and padding changes none") {
  const TestModel m(kLm);
  Batch batch = pair_batch();
  const Tensor all = m.logits(batch);
  CHECK(all.shape() == Shape{2, 4, 10});
  batch.set("masked", ids({3}, {5, 0, 2}));
  const Tensor some = m.logits(batch);
  REQUIRE(some.shape() == Shape{3, 10});
  const Tensor rows = all.reshape({8, 10});
  Index i = 0;
  for (Index place : {5, 0, 2}) CHECK(distance(some.rows(i++, 1), rows.rows(place, 1)) < 1e-13);
  Batch alone = batch_of({{{4, 5}, 0}});
  alone.set("token_types", ids({1, 2}, {0, 1}));
  CHECK(distance(m.logits(alone).reshape({2, 10}), rows.rows(4, 2)) < 1e-13);
}

TEST_CASE("token types are rows of a table that are added; a batch without them has type 0") {
  const TestModel m(kLm);
  Batch plain = batch_of({{{1, 2, 3}, 0}}), zeros = plain, ones = plain;
  zeros.set("token_types", ids({1, 3}, {0, 0, 0}));
  ones.set("token_types", ids({1, 3}, {1, 1, 1}));
  CHECK(distance(m.logits(plain), m.logits(zeros)) == 0);
  CHECK(distance(m.logits(plain), m.logits(ones)) > 1e-3);
  named(m.store, "token_types.weight").fill(0.5);
  CHECK(distance(m.logits(plain), m.logits(ones)) == 0);
  CHECK(message([&] {
          ones.set("token_types", ids({1, 3}, {0, 2, 0}));
          m.logits(ones);
        }).find("id must be in [0, 2); got 2") != std::string::npos);
}

TEST_CASE("the norm of the embeddings stands before the first layer, in every transformer") {
  const TestModel m(
      "type = \"encoder-lm\"\nd_model = 4\nn_layer = 0\nmax_seq_len = 6\nembed_norm = true\n"
      "position.type = \"none\"\n");
  const auto& model = dynamic_cast<const Encoder&>(*m.model);
  const Batch batch = batch_of({{{1, 2, 3}, 0}});
  CHECK(distance(model.encode(batch).value(),
                 layer_norm(embedding(batch.at("ids"), named(m.store, "embed.weight")),
                            named(m.store, "embed_norm.weight"), named(m.store, "embed_norm.bias"), 1e-5)
                     .value()) < 1e-13);
  const std::string small = "d_model = 4\nmax_seq_len = 6\nattention.n_head = 2\nembed_norm = true\n";
  TestModel lm("type = \"decoder-lm\"\n" + small);
  CHECK(gradient_error(lm.store, [&] { return lm.model->forward(batch); }) < 1e-6);
  TestModel pairs("type = \"encoder-decoder\"\n" + small);
  Batch source = batch;
  source.set("source_ids", ids({1, 2}, {4, 5}));
  source.set("source_keep", ids({1, 2}, {1, 1}));
  CHECK(gradient_error(pairs.store, [&] { return pairs.model->forward(source); }) < 1e-6);
  CHECK(named(pairs.store, "encoder.embed_norm.weight").size() == 4);
  CHECK(named(pairs.store, "decoder.embed_norm.weight").size() == 4);
}

TEST_CASE("encoder classifier: the pooler stands between what is read and the head") {
  for (const bool bounded : {true, false}) {
    const TestModel m(kBert + "pooler = \"" + (bounded ? "tanh" : "relu") + "\"");
    const auto& model = dynamic_cast<const EncoderClassifier&>(*m.model);
    const Batch batch = pair_batch();
    const Var read = select_positions(model.encode(batch), batch.at("target"));
    const Var pooled = linear(read, named(m.store, "pooler.weight"), named(m.store, "pooler.bias"));
    CHECK(distance(model.head(bounded ? tanh(pooled) : relu(pooled)).value(), m.logits(batch)) < 1e-13);
  }
  CHECK(named(TestModel(kBert + "pooler = \"tanh\"\nreadout = \"target+mean\"").store, "pooler.weight")
            .shape() == Shape{8, 8});
}

TEST_CASE("encoder-lm: what it cannot be is refused at its place, and it can be walked without values") {
  CHECK(message([] { TestModel m("type = \"encoder-lm\"\nd_model = 0\nembedding = \"one-hot\""); }) ==
        "c.toml:1:1: model.tie_embeddings needs a table of words; got embedding = \"one-hot\"");
  const TestModel m(kLm, Dtype::f32, true);
  CHECK(m.model->forward(pair_batch().symbolic()).shape() == Shape{2, 4, 10});
}
