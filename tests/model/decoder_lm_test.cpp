#include "qkv/model/decoder_lm.h"

#include <doctest/doctest.h>

#include "base/machine.h"
#include "model/beam_search.h"
#include "nn/layer_check.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/shape_ops.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// What a user may write: attention to the last `window` tokens, with a cache or without.
template <bool Cached>
struct Window : Layer {
  Window(const Scope& s, const Section& section, Index width)
      : window(section.get("window", Index{3}, "tokens that are seen", rule::positive)),
        n_head(section.get("n_head", Index{2}, "heads", rule::positive)),
        qkv(s / "qkv", width, 3 * width),
        out(s / "out", width, width),
        width(width) {}
  Index out_width() const override { return width; }
  bool continues() const override { return Cached; }
  Var forward(const Var& x, const Context& context) const override {
    std::array<Var, 3> parts = split<3>(qkv(x), -1);
    if (context.rotary.cos.defined())
      for (std::size_t i : {0, 1}) parts[i] = rotary(parts[i], context.rotary, {n_head, width / n_head});
    if (Cached && context.cache)
      for (std::size_t i : {1, 2}) parts[i] = context.cache->extended(parts[i]);
    AttentionOptions o(n_head, width / n_head);
    o.mask = context.mask;
    const Index T = x.dim(1), S = parts[1].dim(1);
    o.mask.keep = Tensor::result({T, S}, x.value(), Dtype::i32);
    if (!x.is_symbolic())
      for (Index i = 0; i < T * S; i++)
        o.mask.keep.data<std::int32_t>()[i] = i / S + (S - T) - i % S < window;
    return out(attend(parts[0], parts[1], parts[2], o));
  }
  Index window, n_head;
  Linear qkv, out;
  Index width;
};
QKV_REGISTER(Layer, "test-window", Window<false>, "attention to the last tokens");
QKV_REGISTER(Layer, "test-window-cached", Window<true>, "attention to the last tokens, with a cache");

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
    "attention.qk_norm = \"rms-gain\"\nattention.softcap = 2.0\nattention.window = "
    "3\nattention.window_pattern = "
    "\"SL\"\nposition.type = \"rope\"\nposition.rotary_fraction = 0.5",
    "attention.window = 2\nposition.type = \"t5\"\nposition.buckets = 6\nposition.max_distance = 7",
    "attention.n_head = 4\nattention.n_kv_head = 2\nposition.type = \"t5\"\nposition.per_layer = true",
    "attention.n_head = 4\nattention.n_kv_head = 2\nposition.type = \"shaw\"\nposition.max_distance = 3",
    "attention.softcap = 2.0\nattention.window = 4\nattention.window_pattern = \"LS\"\nposition.type = "
    "\"shaw\"",
    // layers of the user's
    "attention.type = \"test-window\"\nattention.window = 2\nattention.n_head = 4\nposition.type = \"rope\"",
    "attention.type = \"test-window-cached\"\nattention.window = 2\nposition.type = \"rope\"",
    "[[model.layers]]\ntype = \"block\"\n[[model.layers]]\ntype = \"test-window\"\nwindow = 4",
    "position.type = \"alibi\"\n[[model.layers]]\ntype = \"test-window-cached\"\n[[model.layers]]\ntype = "
    "\"feed-forward\"\nresidual = true",
    "position.type = \"t5\"\n[[model.layers]]\ntype = \"test-window-cached\"\n[[model.layers]]\ntype = "
    "\"block\"",
    "share_layers = 2\nvalue_embeddings = 1\nresidual_scalars = true\nlogit_softcap = 3.0\nposition.type = "
    "\"rope\"\nffn.activation = \"relu2\"\nattention.n_head = 4\nattention.n_kv_head = 2",
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

TEST_CASE(
    "documents in one row have the logits that they have alone, whatever the positions, heads and norms") {
  for (const char* keys : kVariants) {
    CAPTURE(std::string(keys));
    const Lm lm(keys);
    const Tensor ids = ids_of(2, 12);
    const Index cuts[2][4] = {{0, 5, 6, 12}, {0, 1, 8, 12}};
    Batch batch;
    batch.set("ids", ids);
    std::int32_t* starts = batch.fill("starts", {2, 12}, Dtype::i32).data<std::int32_t>();
    for (int b = 0; b < 2; b++)
      for (int d = 0; d < 3; d++)
        for (Index t = cuts[b][d]; t < cuts[b][d + 1]; t++)
          starts[b * 12 + t] = static_cast<std::int32_t>(cuts[b][d]);
    const Tensor together = lm.model.forward(batch).value();
    for (int b = 0; b < 2; b++)
      for (int d = 0; d < 3; d++) {
        const Tensor alone = lm.logits(columns(ids, cuts[b][d], cuts[b][d + 1]));
        const Index size = alone.dim(1) * 11;  // of row b of two
        for (Index i = 0; i < size; i++)
          REQUIRE(std::abs(alone.at(b * size + i) - together.at((b * 12 + cuts[b][d]) * 11 + i)) < 1e-12);
      }
    batch.set("starts", Tensor::zeros({2, 3}, Dtype::i32));
    CHECK(message([&] { lm.model.forward(batch); }).find("starts must be i32 [2, 12]") != std::string::npos);
  }
}

TEST_CASE("rows of a decoding can be selected, doubled and dropped") {
  for (const char* keys : {kVariants[6], kVariants[8], kVariants[11], kVariants[13], kVariants[14]}) {
    CAPTURE(std::string(keys));
    const Lm lm(keys);
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
}

TEST_CASE(
    "a layer that cannot continue from a cache writes what one that can does: greedy, sampled and by beam") {
  for (const char* position : {"learned", "rope", "alibi"}) {
    CAPTURE(std::string(position));
    const std::string keys =
        fmt::format("attention.n_head = 4\nposition.type = \"{}\"\nattention.type = ", position);
    const Lm slow(keys + "\"test-window\""), fast(keys + "\"test-window-cached\"");
    CHECK_FALSE(slow.model.stack.continues());
    CHECK(fast.model.stack.continues());
    auto text = [](const Lm& lm, double temperature) {
      GenerateOptions options;
      options.max_tokens = 30;  // more than the model's room
      options.sampling.temperature = temperature;
      std::vector<int> ids;
      generate(lm.model, {1, 2, 3}, options, [&](int id) {
        ids.push_back(id);
        return true;
      });
      return ids;
    };
    for (double temperature : {0.0, 1.0}) CHECK(text(slow, temperature) == text(fast, temperature));
    BeamOptions beam;
    beam.n_best = 3;
    auto best = [&](const Lm& lm) {
      std::vector<std::vector<int>> all;
      for (const auto& row : beam_search(*lm.model.start({}, 2), ids_of(2, 3), beam))
        for (const Hypothesis& h : row) all.push_back(h.ids);
      return all;
    };
    CHECK(best(slow) == best(fast));
  }
}

TEST_CASE("the table of an attention belongs to its type") {
  auto problem = [](const std::string& keys) {
    return message([&] { Lm lm(keys); });
  };
  CHECK(problem("attention.type = \"test-windw\"").find("did you mean 'test-window'?") != std::string::npos);
  CHECK(
      problem("attention.type = \"test-window\"\nattention.scale = \"none\"").find("model.attention.scale") !=
      std::string::npos);
  CHECK(problem("attention.d_out = 3").find("model.attention.d_out") != std::string::npos);
  CHECK(problem("attention.type = \"linear\"\nattention.d_out = 5")
            .find("must name a layer that keeps the width 16") != std::string::npos);
  Lm lm("attention.type = \"test-window\"");
  const std::string resolved = lm.config.dump();
  CHECK(resolved.find("window = 3") != std::string::npos);
  CHECK(resolved.find("qkv") == std::string::npos);
  const Section again = Section::parse(resolved, "again.toml");
  ParameterStore store(5, Dtype::f64);
  DecoderLm(Scope(store), again.section("model"), Lm::shape());
  again.finish();
}

TEST_CASE("no position sees a later one, and each sees all before it, but for those with a window") {
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
        const bool all = std::string(keys).find("test-window") == std::string::npos &&
                         std::string(keys).find("window = 2") == std::string::npos;
        if (t < changed || all) CHECK((t < changed) == (difference == 0));
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
            .find("needs layers with the output width d_model = 16; got 8") != std::string::npos);
  const Lm lm("");
  CHECK(message([&] { lm.logits(ids_of(1, 13)); }).find("length must be at most max_seq_len = 12; got 13") !=
        std::string::npos);
}
