#include "qkv/nn/embedding.h"

#include "nn/layer_check.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("learned word vectors are rows of the table, and only rows in use get a gradient") {
  ParameterStore store(1, Dtype::f64);
  const TokenEmbedding embed(Scope(store) / "embed", EmbeddingKind::learned, 5, 0, 3);
  CHECK(names(store) == std::vector<std::string>{"embed.weight"});
  const Tensor words = ids({1, 3}, {4, 0, 4});
  const Tensor x = embed(words).value();
  REQUIRE(x.shape() == Shape{1, 3, 3});
  for (Index i = 0; i < 3; i++) {
    CHECK(x.at(i) == embed.weight.value().at(4 * 3 + i));
    CHECK(x.at(3 + i) == embed.weight.value().at(i));
  }
  CHECK(gradient_error(store, [&] { return embed(words); }) < 1e-8);
  Tape tape;
  const Tensor g = tape.backward(sum(embed(words))).of_slot(0);
  CHECK(g.at(4 * 3) == 2);
  CHECK(g.at(0) == 1);
  CHECK(g.at(1 * 3) == 0);
}

TEST_CASE("one-hot words are unit vectors of the model's dtype without parameters") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    ParameterStore store(1, dtype);
    const TokenEmbedding embed(Scope(store) / "embed", EmbeddingKind::one_hot, 3, 0, 3);
    const Tensor x = embed(ids({1, 2}, {2, 0})).value();
    CHECK(store.size() == 0);
    CHECK(x.dtype() == dtype);
    CHECK(x.to_vector() == std::vector<double>{0, 0, 1, 1, 0, 0});
  }
}

TEST_CASE("word+ngrams adds the mean of the n-gram vectors, nothing for a word without n-grams") {
  ParameterStore store(1, Dtype::f64);
  const TokenEmbedding embed(Scope(store) / "embed", EmbeddingKind::word_ngrams, 4, 6, 2);
  CHECK(names(store) == std::vector<std::string>{"embed.weight", "embed.ngrams"});
  const Tensor words = ids({1, 2}, {1, 3}), grams = ids({3}, {5, 0, 5}), offsets = ids({3}, {0, 3, 3});
  const Tensor x = embed(words, grams, offsets).value();
  const Tensor &w = embed.weight.value(), &n = embed.ngrams.value();
  for (Index i = 0; i < 2; i++) {
    CHECK(x.at(i) == doctest::Approx(w.at(2 + i) + (2 * n.at(10 + i) + n.at(i)) / 3).epsilon(1e-14));
    CHECK(x.at(2 + i) == w.at(6 + i));
  }
  CHECK(gradient_error(store, [&] { return embed(words, grams, offsets); }) < 1e-8);
}

TEST_CASE("an id outside of the vocabulary is an error that names the layer") {
  ParameterStore store(1);
  const TokenEmbedding embed(Scope(store) / "embed", EmbeddingKind::learned, 5, 0, 3);
  const std::string text = message([&] { (void)embed(ids({1, 1}, {5})); });
  CHECK(text.find("id must be in [0, 5); got 5") != std::string::npos);
  CHECK(text.find("(in embed)") != std::string::npos);
}
