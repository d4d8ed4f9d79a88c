#include <doctest/doctest.h>

#include "has.h"
#include "nn/layer_check.h"
#include "qkv/model/generate.h"
#include "qkv/model/model.h"
#include "qkv/ops/loss.h"

using namespace qkv;
using namespace qkv::test;

namespace {

struct Small {
  explicit Small(const std::string& keys = "", DataShape shape = {11, 0, 0, 9}, bool symbolic = false)
      : store(1, Dtype::f64, symbolic),
        config(Section::parse(
            "[model]\ntype = \"encoder-decoder\"\nn_layer = 2\nd_model = 8\nmax_seq_len = 9\n" + keys,
            "c.toml")),
        model(make_model(Scope(store), config.section("model"), shape)),
        own(dynamic_cast<Generator&>(*model)) {
    config.finish();
    if (!symbolic) randomize(store);
  }
  ParameterStore store;
  Section config;
  std::unique_ptr<Model> model;
  Generator& own;
};

Tensor i32(const Shape& shape, const std::vector<int>& values) {
  return Tensor::from(shape, values);
}

// Sources of 4 and 2 tokens padded to S with `padding`, targets of 5.
Batch pairs(Index S = 4, int padding = 0) {
  Batch batch;
  std::vector<int> ids, keep, copies;
  const std::vector<int> sources[] = {{3, 5, 8, 2}, {7, 4}};
  for (const auto& source : sources)
    for (Index s = 0; s < S; s++) {
      const bool word = s < static_cast<Index>(source.size());
      ids.push_back(word ? source[static_cast<std::size_t>(s)] : padding);
      keep.push_back(word);
      copies.push_back(word ? ids.back() * 5 % 11 : padding);
    }
  batch.set("copy_ids", i32({2, S}, copies));
  batch.set("source_ids", i32({2, S}, ids));
  batch.set("source_keep", i32({2, S}, keep));
  batch.set("ids", i32({2, 5}, {1, 4, 10, 6, 6, 1, 9, 2, 3, 5}));
  batch.set("targets", i32({2, 5}, {4, 10, 6, 6, 2, 9, 2, -100, -100, -100}));
  return batch;
}

const char* const kKinds[] = {
    "",
    "[model.norm]\nplace = \"post\"\n",
    "[model.position]\ntype = \"rope\"\n[model.norm]\ntype = \"rmsnorm\"\n",
    "[model.position]\ntype = \"alibi\"\n[model.ffn]\nactivation = \"swiglu\"\n",
    "[model.position]\ntype = \"t5\"\n[model.attention]\nqk_norm = \"rms-gain\"\nwindow = 2\n",
    "[model.position]\ntype = \"shaw\"\nmax_distance = 2\n[model.attention]\nqk_norm = \"rms\"\nsoftcap = "
    "2.0\n",
    "tie_embeddings = true\n[model.position]\ntype = \"sinusoidal\"\n",
    "n_encoder_layer = 1\nn_decoder_layer = 3\n[model.attention]\nn_head = 4\nn_kv_head = 2\n",
    // layers of decoder_lm_test.cpp
    "[model.attention]\ntype = \"test-window\"\n[model.position]\ntype = \"rope\"\n",
    "[model.attention]\ntype = \"test-window-cached\"\n",
    "copy = true\n[model.attention]\nn_head = 4\nn_kv_head = 2\n",
    "copy = true\nlogit_softcap = 2.0\n[model.attention]\ntype = \"test-window\"\n",
    "share_layers = 2\nvalue_embeddings = 1\nresidual_scalars = true\nlogit_softcap = 3.0\n",
};

}  // namespace

TEST_CASE("decoding token by token with caches equals the whole forward pass") {
  for (const char* kind : kKinds) {
    CAPTURE(kind);
    const Small s(kind);
    const Batch batch = pairs();
    const Tensor whole = s.model->forward(batch).value();  // [2, 5, 11]
    auto decoding = s.own.start(batch, 2);
    CHECK(decoding->room() == 9);
    const std::int32_t* ids = batch.at("ids").data<std::int32_t>();
    for (Index t = 0; t < 5; t++) {
      Tensor logits;
      if (t == 0) continue;
      if (t == 1)  // two tokens at once, then one by one
        logits = decoding->feed(i32({2, 2}, {ids[0], ids[1], ids[5], ids[6]}));
      else
        logits = decoding->feed(i32({2, 1}, {ids[t], ids[5 + t]}));
      for (Index b = 0; b < 2; b++)
        for (Index v = 0; v < 11; v++)
          CHECK(logits.at(b * 11 + v) == doctest::Approx(whole.at((b * 5 + t) * 11 + v)).epsilon(1e-9));
    }
    CHECK(decoding->room() == 4);
  }
}

TEST_CASE("rows selected before and while decoding go on as the rows they were") {
  for (const char* kind : {kKinds[0], kKinds[6], kKinds[7]}) {
    CAPTURE(kind);
    const Small s(kind);
    const Batch batch = pairs();
    const Tensor whole = s.model->forward(batch).value();
    auto decoding = s.own.start(batch, 2);
    decoding->select({1, 0, 1});
    decoding->feed(i32({3, 1}, {1, 1, 1}));
    decoding->select({1, 2, 2, 1});  // of the sources 0, 1, 1, 0
    const Tensor logits = decoding->feed(i32({4, 1}, {4, 9, 9, 4}));
    for (Index r = 0; r < 4; r++) {
      const Index b = r == 1 || r == 2;
      for (Index v = 0; v < 11; v++)
        CHECK(logits.at(r * 11 + v) == doctest::Approx(whole.at((b * 5 + 1) * 11 + v)).epsilon(1e-9));
    }
  }
}

TEST_CASE("padding of the source never changes the result, nor do later target tokens") {
  for (const char* kind : kKinds) {
    CAPTURE(kind);
    const Small s(kind);
    const Tensor expected = s.model->forward(pairs(4)).value();
    CHECK(distance(s.model->forward(pairs(4, 6)).value(), expected) < 1e-12);
    CHECK(distance(s.model->forward(pairs(7, 3)).value(), expected) < 1e-12);
    Batch changed = pairs();
    changed.set("ids", i32({2, 5}, {1, 4, 10, 2, 7, 1, 9, 2, 8, 8}));
    const Tensor other = s.model->forward(changed).value();
    for (Index b = 0; b < 2; b++)
      for (Index i = 0; i < 3 * 11; i++)
        CHECK(other.at(b * 55 + i) == doctest::Approx(expected.at(b * 55 + i)).epsilon(1e-12));
    CHECK(distance(other, expected) > 1e-3);
  }
}

TEST_CASE("words beyond the vocabulary are copied from their place, and read as unknown ones") {
  const Small s("copy = true\n", {11, 0, 0, 9, false, 1});
  Batch batch = pairs();
  batch.set("copy_ids", i32({2, 4}, {3, 11 + 1, 11 + 1, 2, 11 + 0, 4, 0, 0}));
  const Tensor whole = s.model->forward(batch).value();  // [2, 5, 11 + 4]
  REQUIRE(whole.shape() == Shape{2, 5, 15});
  for (Index row = 0; row < 10; row++) {
    double sum = 0;
    for (Index v = 0; v < 15; v++) sum += std::exp(whole.at(row * 15 + v));
    CHECK(sum == doctest::Approx(1));
    for (Index place = 0; place < 4; place++)  // of these, only two words are new
      CHECK((whole.at(row * 15 + 11 + place) > -100) == (place == (row < 5 ? 1 : 0)));
  }
  const Batch given = batch;
  batch.set("ids", i32({2, 5}, {1, 12, 10, 6, 12, 1, 11, 2, 3, 5}));
  Batch unknown = batch;
  unknown.set("ids", i32({2, 5}, {1, 1, 10, 6, 1, 1, 1, 2, 3, 5}));
  const Tensor read = s.model->forward(batch).value();
  CHECK(distance(read, s.model->forward(unknown).value()) == 0);
  auto decoding = s.own.start(given, 2);
  decoding->feed(i32({2, 1}, {1, 1}));
  decoding->select({1, 0, 0});
  const Tensor step = decoding->feed(i32({3, 1}, {11, 12, 12}));
  for (Index r = 0; r < 3; r++)
    for (Index v = 0; v < 15; v++)
      CHECK(step.at(r * 15 + v) == doctest::Approx(read.at(((r == 0) * 5 + 1) * 15 + v)).epsilon(1e-9));
  CHECK(Small("copy = true\n", {11, 0, 0, 9, false, 1}, true)
            .model
            ->forward([] {
              Batch shapes;
              for (const char* name : {"source_ids", "source_keep", "copy_ids"})
                shapes.set(name, Tensor::symbolic({2, 7}, Dtype::i32));
              shapes.set("ids", Tensor::symbolic({2, 5}, Dtype::i32));
              return shapes;
            }())
            .shape() == Shape{2, 5, 18});
  Batch without = pairs();
  without.set("copy_ids", i32({2, 3}, {0, 0, 0, 0, 0, 0}));
  CHECK(message([&] { s.model->forward(without); }).find("ids and keep must be i32 [2, 4]") !=
        std::string::npos);
}

TEST_CASE("every parameter gets a gradient, and the source matters") {
  for (const char* kind : kKinds) {
    CAPTURE(kind);
    const Small s(kind);
    const Batch batch = pairs();
    Tape tape;
    const CrossEntropy loss = cross_entropy(s.model->forward(batch), batch.at("targets"));
    CHECK(loss.weight == 7);
    const Gradients gradients = tape.backward(loss.sum);
    for (int slot = 0; slot < s.store.size(); slot++) {
      CAPTURE(s.store.slot(slot).parts[0].name);
      REQUIRE(gradients.has_slot(slot));
      double largest = 0;
      for (double g : gradients.of_slot(slot).to_vector()) largest = std::max(largest, std::abs(g));
      CHECK(largest > 0);
    }
  }
}

TEST_CASE("shared and tied tables are one parameter") {
  const Small separate("", {9, 0, 0, 0}),
      shared("share_embeddings = true\ntie_embeddings = true\n", {9, 0, 0, 0});
  CHECK(separate.store.count() - shared.store.count() == 2 * 9 * 8);
}

TEST_CASE("the shapes are walked without elements") {
  const Small s("", {11, 0, 0, 9}, true);
  Batch batch;
  for (const char* name : {"source_ids", "source_keep", "ids"})
    batch.set(name, Tensor::symbolic({3, 6}, Dtype::i32));
  const Var logits = s.model->forward(batch);
  CHECK(logits.is_symbolic());
  CHECK(logits.shape() == Shape{3, 6, 11});
}

TEST_CASE("an impossible encoder-decoder is reported") {
  auto error = [](const std::string& keys, DataShape shape = {11, 0, 0, 9}) {
    try {
      Small s(keys, shape);
    } catch (const Error& e) {
      CHECK(e.fault() == Fault::usage);
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(
      has(error("share_embeddings = true\n"), "needs tokenizer.shared = true; got vocabularies of 9 and 11"));
  CHECK(has(error("[[model.layers]]\ntype = \"block\"\n"), "must be left out of an encoder-decoder"));
  CHECK(has(error("[model.attention]\nqkv = \"identity\"\n"), "must be \"learned\" in an encoder-decoder"));
  CHECK(has(error("[model.position]\norigin = \"target\"\n"), "must be \"start\""));
  CHECK(has(error("[model.attention]\nn_head = 3\n"), "must divide d_model = 8; got 3"));
  const Small s;
  CHECK_THROWS_WITH_AS(s.own.start(pairs(), 3),
                       "encoder-decoder: there must be a source for each row; got 3 rows, source_ids [2, 4]",
                       Error);
}
