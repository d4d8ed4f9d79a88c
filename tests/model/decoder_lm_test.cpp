#include "qkv/model/decoder_lm.h"

#include <doctest/doctest.h>

#include "nn/layer_check.h"
#include "qkv/base/allocations.h"
#include "qkv/ops/cross_entropy.h"

using namespace qkv;
using namespace qkv::test;

namespace {

struct Lm {
  explicit Lm(const std::string& keys, Dtype dtype = Dtype::f64)
      : store(5, dtype),
        config(Section::parse("[model]\nd_model = 16\nmax_seq_len = 12\nn_layer = 2\n" + keys, "lm.toml")),
        model(Scope(store), config.section("model"), shape()) {
    config.finish();
    randomize(store, 0.3);
  }
  static DataShape shape() {
    DataShape s;
    s.vocab_size = 11;
    return s;
  }
  Tensor logits(const Tensor& ids) const {
    Batch batch;
    batch.set("ids", ids);
    return model.forward(batch).value();
  }
  ParameterStore store;
  Section config;
  DecoderLm model;
};

Tensor ids_of(Index B, Index T, int seed = 1) {
  Tensor ids = Tensor::empty({B, T}, Dtype::i32);
  Stream stream(static_cast<std::uint64_t>(seed), "ids");
  for (Index i = 0; i < ids.size(); i++)
    ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(stream.below(11));
  return ids;
}

// Columns [begin, end) of ids [B, T].
Tensor columns(const Tensor& ids, Index begin, Index end) {
  Tensor part = Tensor::empty({ids.dim(0), end - begin}, Dtype::i32);
  for (Index b = 0; b < ids.dim(0); b++)
    std::copy(ids.data<std::int32_t>() + b * ids.dim(1) + begin,
              ids.data<std::int32_t>() + b * ids.dim(1) + end, part.data<std::int32_t>() + b * (end - begin));
  return part;
}

// Largest difference between logits [B, V] and position t of all [B, T, V].
double difference(const Tensor& step, const Tensor& all, Index t) {
  double worst = 0;
  for (Index b = 0; b < all.dim(0); b++)
    for (Index v = 0; v < all.dim(2); v++)
      worst = std::max(worst,
                       std::abs(step.at(b * all.dim(2) + v) - all.at((b * all.dim(1) + t) * all.dim(2) + v)));
  return worst;
}

const char* const kVariants[] = {
    "position.type = \"learned\"",
    "position.type = \"sinusoidal\"",
    "position.type = \"rope\"",
    "position.type = \"alibi\"",
    "position.type = \"none\"\nnorm.place = \"post\"",
    "attention.n_head = 4\nattention.n_kv_head = 2\nnorm.type = \"rmsnorm\"\nffn.activation = \"swiglu\"",
    "attention.n_head = 4\nattention.n_kv_head = 1\nposition.type = \"rope\"\ntie_embeddings = true",
    "attention.n_head = 3\nattention.d_head = 4\nposition.type = \"alibi\"\nattention.bias = false",
};

}  // namespace

TEST_CASE(
    "decoding with a cache gives the logits of full recomputation, whatever the positions, heads and norms") {
  for (const char* keys : kVariants)
    for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
      CAPTURE(std::string(keys));
      const Lm lm(keys, dtype);
      const Tensor ids = ids_of(2, 9), all = lm.logits(ids);
      const double bound = dtype == Dtype::f64 ? 1e-12 : 2e-5;
      const auto decoding = lm.model.start({}, 2);
      CHECK(decoding->room() == 12);
      CHECK(difference(decoding->feed(columns(ids, 0, 4)), all, 3) < bound);  // the prompt at once
      for (Index t = 4; t < 9; t++) CHECK(difference(decoding->feed(columns(ids, t, t + 1)), all, t) < bound);
      CHECK(decoding->room() == 3);
    }
}

TEST_CASE("rows of a decoding can be selected, doubled and dropped") {
  const Lm lm(kVariants[6]);
  const Tensor ids = ids_of(2, 6);
  const auto decoding = lm.model.start({}, 2);
  decoding->feed(columns(ids, 0, 5));
  decoding->select({1, 1, 0});
  Tensor next = Tensor::empty({3, 1}, Dtype::i32);
  for (int r = 0; r < 3; r++)
    next.data<std::int32_t>()[r] = ids.data<std::int32_t>()[(r < 2 ? 1 : 0) * 6 + 5];
  const Tensor step = decoding->feed(next), all = lm.logits(ids);
  for (Index v = 0; v < 11; v++) {
    CHECK(step.at(v) == doctest::Approx(all.at((6 + 5) * 11 + v)));
    CHECK(step.at(11 + v) == step.at(v));
    CHECK(step.at(22 + v) == doctest::Approx(all.at(5 * 11 + v)));
  }
  CHECK_THROWS_WITH_AS(decoding->select({3}), doctest::Contains("row must be in [0, 3); got 3"), Error);
}

TEST_CASE("no position sees a later one, and each sees all before it") {
  for (const char* keys : kVariants) {
    CAPTURE(std::string(keys));
    const Lm lm(keys);
    const Tensor ids = ids_of(1, 6), before = lm.logits(ids);
    for (Index changed = 0; changed < 6; changed++) {
      Tensor other = ids.clone();
      other.data<std::int32_t>()[changed] = (ids.data<std::int32_t>()[changed] + 1) % 11;
      const Tensor after = lm.logits(other);
      for (Index t = 0; t < 6; t++) {
        double difference = 0;
        for (Index v = 0; v < 11; v++) difference += std::abs(before.at(t * 11 + v) - after.at(t * 11 + v));
        CHECK((t < changed) == (difference == 0));
      }
    }
  }
}

TEST_CASE("padding is not seen") {
  const Lm lm("position.type = \"none\"");
  Batch batch;
  batch.set("ids", ids_of(1, 5));
  batch.set("keep", Tensor::from({1, 5}, std::vector<std::int32_t>{0, 0, 1, 1, 1}));
  const Tensor padded = lm.model.forward(batch).value(), plain = lm.logits(columns(batch.at("ids"), 2, 5));
  for (Index i = 0; i < 3 * 11; i++) CHECK(padded.at(2 * 11 + i) == doctest::Approx(plain.at(i)));
}

TEST_CASE("gradients of a language model against central differences, and every parameter has one") {
  for (const char* keys : {kVariants[2], kVariants[3], kVariants[5], kVariants[6]}) {
    CAPTURE(std::string(keys));
    Lm lm(std::string(keys) + "\nffn.d_ff = 6");
    Batch batch;
    batch.set("ids", ids_of(2, 3));
    const Tensor targets = ids_of(2, 3, 2);
    CHECK(gradient_error(lm.store, [&] { return cross_entropy(lm.model.forward(batch), targets).sum; }) <
          1e-6);
  }
}

TEST_CASE("tied embeddings are one parameter, saved once") {
  const Lm tied("tie_embeddings = true"), untied("");
  CHECK(untied.store.count() - tied.store.count() == 11 * 16);
  CHECK(names(untied.store).back() == "head.weight");
  for (const std::string& name : names(tied.store)) CHECK(name != "head.weight");
}

TEST_CASE("generating a token allocates nothing once warm") {
  const Lm lm(kVariants[6], Dtype::f32);
  const auto decoding = lm.model.start({}, 1);
  Tensor one = Tensor::zeros({1, 1}, Dtype::i32);
  for (int i = 0; i < 5; i++) decoding->feed(one);
  const auto before = allocations();
  for (int i = 0; i < 5; i++) decoding->feed(one);
  if (before) CHECK(*allocations() == *before);
}

TEST_CASE("configs that a language model cannot have are refused at their place") {
  auto refused = [](const std::string& keys) {
    return message([&] { Lm lm(keys); });
  };
  CHECK(refused("position.type = \"rope\"\nattention.n_head = 2\nattention.d_head = 3")
            .find("\"rope\" needs heads of even width; got 3") != std::string::npos);
  CHECK(refused("position.origin = \"target\"").find("must be \"start\"") != std::string::npos);
  CHECK(refused("attention.qkv = \"identity\"").find("must be \"learned\" in a decoder-lm") !=
        std::string::npos);
  CHECK(refused("tie_embeddings = true\n[[model.layers]]\ntype = \"linear\"\nd_out = 8")
            .find("needs layers that end at d_model = 16; got 8") != std::string::npos);
  const Lm lm("");
  CHECK(message([&] { lm.logits(ids_of(1, 13)); }).find("length must be at most max_seq_len = 12; got 13") !=
        std::string::npos);
}
