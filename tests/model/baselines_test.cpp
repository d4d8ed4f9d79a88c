#include <doctest/doctest.h>

#include "model/sentences.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("the static model gives the same answer for every sentence with the same target word") {
  for (const char* embedding : {"learned", "word+ngrams"}) {
    const TestModel m(std::string("type = \"static\"\nembedding = \"") + embedding + "\"");
    const Tensor y = m.logits({{{1, 2, 3}, 1}, {{4, 5, 6, 2}, 3}, {{2}, 0}, {{2, 7}, 1}});
    CHECK(distance(y.rows(0, 1), y.rows(1, 1)) == 0);
    CHECK(distance(y.rows(0, 1), y.rows(2, 1)) == 0);
    CHECK(distance(y.rows(0, 1), y.rows(3, 1)) > 1e-3);
  }
}

TEST_CASE("the bag of words ignores order, target and padding, but not the words") {
  const TestModel m("type = \"bag-of-words\"");
  const Tensor y = m.logits({{{1, 2, 3}, 0}, {{3, 1, 2}, 2}, {{1, 2, 4}, 0}, {{1, 2, 3, 3, 2, 1}, 0}});
  CHECK(distance(y.rows(0, 1), y.rows(1, 1)) < 1e-14);
  CHECK(distance(y.rows(0, 1), y.rows(3, 1)) < 1e-14);
  CHECK(distance(y.rows(0, 1), y.rows(2, 1)) > 1e-3);
}

TEST_CASE("baselines: gradients agree with central differences") {
  const Batch batch = batch_of({{{1, 2, 3}, 1}, {{4, 5}, 0}});
  for (const char* type : {"static", "bag-of-words"}) {
    TestModel m(std::string("type = \"") + type + "\"\nd_model = 3\nembedding = \"word+ngrams\"");
    CHECK(names(m.store) ==
          std::vector<std::string>{"embed.weight", "embed.ngrams", "head.weight", "head.bias"});
    CHECK(gradient_error(m.store, [&] { return m.model->forward(batch); }) < 1e-7);
  }
}

TEST_CASE("baselines: n-grams that the data lacks are an error") {
  ParameterStore store(1);
  const Section config = Section::parse("[model]\ntype = \"static\"\nembedding = \"word+ngrams\"", "c.toml");
  CHECK(message([&] {
          (void)make_model(Scope(store), config.section("model"), {10, 3, 0});
        }).find("model.embedding must not be \"word+ngrams\" without n-grams") != std::string::npos);
}
