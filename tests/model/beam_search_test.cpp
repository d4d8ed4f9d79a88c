#include "model/beam_search.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "qkv/base/config_field.h"
#include "qkv/base/error.h"

using namespace qkv;

namespace {

// A made-up model: the logits after a sequence are drawn from a stream of its ids, a few of them equal.
struct RandomModel : Decoding {
  RandomModel(int seed, Index rows, Index V, Index room = 100) : seed(seed), V(V), left(room) {
    texts.resize(static_cast<std::size_t>(rows));
  }
  static float logit(int seed, const std::vector<int>& text, Index id) {
    std::uint64_t key = 0;
    for (int t : text) key = key * 31 + static_cast<std::uint64_t>(t) + 1;
    Stream stream(static_cast<std::uint64_t>(seed), "model", key, id);
    return static_cast<float>(std::round(2 * stream.normal()) / 2);
  }
  Tensor feed(const Tensor& ids) override {
    const Index n = ids.dim(1);
    REQUIRE(ids.dim(0) == static_cast<Index>(texts.size()));
    REQUIRE(n <= left);
    left -= n;
    Tensor logits = Tensor::empty({ids.dim(0), V});
    for (Index r = 0; r < ids.dim(0); r++) {
      std::vector<int>& text = texts[static_cast<std::size_t>(r)];
      for (Index t = 0; t < n; t++) text.push_back(ids.data<std::int32_t>()[r * n + t]);
      for (Index i = 0; i < V; i++) logits.data<float>()[r * V + i] = logit(seed, text, i);
    }
    return logits;
  }
  void select(const std::vector<int>& from) override {
    std::vector<std::vector<int>> next;
    for (int r : from) next.push_back(texts.at(static_cast<std::size_t>(r)));
    texts = next;
  }
  Index room() const override { return left; }

  int seed;
  Index V, left;
  std::vector<std::vector<int>> texts;
};

constexpr int kStop = 1, kStart = 0;

BeamOptions options(int beam, Index max_tokens) {
  BeamOptions o;
  o.beam = beam;
  o.max_tokens = max_tokens;
  o.stop = kStop;
  o.never = {kStart};
  return o;
}

Tensor prompt(Index rows) {
  return Tensor::from({rows, 1}, std::vector<int>(static_cast<std::size_t>(rows), kStart));
}

double log_softmax(int seed, const std::vector<int>& text, Index V, int id) {
  double sum = 0;
  for (Index i = 0; i < V; i++) sum += std::exp(static_cast<double>(RandomModel::logit(seed, text, i)));
  return RandomModel::logit(seed, text, id) - std::log(sum);
}

// All sequences that end, or have max_tokens tokens.
void enumerate(int seed, Index V, const BeamOptions& o, std::vector<int>& ids, double log_prob,
               std::vector<Hypothesis>& all) {
  auto add = [&](double p, bool ended) {
    const double n = static_cast<double>(ids.size()) + (ended ? 1 : 0);
    const double norm = o.normalize == LengthNorm::none      ? 1
                        : o.normalize == LengthNorm::average ? n
                                                             : std::pow((5 + n) / 6, o.alpha);
    all.push_back({ids, p, p / norm, ended});
  };
  std::vector<int> text{kStart};
  text.insert(text.end(), ids.begin(), ids.end());
  if (static_cast<Index>(ids.size()) == o.max_tokens) return add(log_prob, false);
  for (int id = 1; id < V; id++) {
    const double p = log_prob + log_softmax(seed, text, V, id);
    if (id == kStop) {
      add(p, true);
      continue;
    }
    ids.push_back(id);
    enumerate(seed, V, o, ids, p, all);
    ids.pop_back();
  }
}

}  // namespace

TEST_CASE("logits that are not finite end a search with an error, whatever row they are in") {
  struct Broken : RandomModel {
    using RandomModel::RandomModel;
    Tensor feed(const Tensor& ids) override {
      Tensor logits = RandomModel::feed(ids);
      if (++feeds == 3) logits.data<float>()[logits.size() - 2] = NAN;
      return logits;
    }
    int feeds = 0;
  };
  Broken model(3, 2, 5);
  CHECK_THROWS_WITH_AS(beam_search(model, prompt(2), options(3, 6)),
                       doctest::Contains("logits must be finite; got NaN for token 3 of 5"), Error);
}

TEST_CASE("a beam as wide as the tree finds what exhaustive search finds, by every normalisation") {
  const Index V = 5, longest = 4;
  for (int seed = 0; seed < 12; seed++)
    for (LengthNorm normalize : {LengthNorm::gnmt, LengthNorm::average, LengthNorm::none}) {
      CAPTURE(seed);
      CAPTURE(text_of(normalize));
      BeamOptions o = options(200, longest);
      o.normalize = normalize;
      o.alpha = 1.0;
      o.n_best = 4;
      std::vector<Hypothesis> all;
      std::vector<int> ids;
      enumerate(seed, V, o, ids, 0, all);
      std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.score > b.score; });
      RandomModel model(seed, 1, V);
      const auto found = beam_search(model, prompt(1), o)[0];
      REQUIRE(found.size() == 4);
      for (std::size_t i = 0; i < 4; i++) {
        CHECK(found[i].score == doctest::Approx(all[i].score).epsilon(1e-9));
        const auto same = std::find_if(all.begin(), all.end(), [&](const Hypothesis& h) {
          return h.ids == found[i].ids && h.ended == found[i].ended;
        });
        REQUIRE(same != all.end());
        CHECK(found[i].log_prob == doctest::Approx(same->log_prob).epsilon(1e-9));
      }
    }
}

TEST_CASE("a beam of one is greedy search") {
  const Index V = 9;
  for (int seed = 0; seed < 30; seed++) {
    std::vector<int> text{kStart}, greedy;
    bool ended = false;
    for (int step = 0; step < 7 && !ended; step++) {
      int best = 1;
      for (int id = 2; id < V; id++)
        if (RandomModel::logit(seed, text, id) > RandomModel::logit(seed, text, best)) best = id;
      ended = best == kStop;
      if (ended) break;
      greedy.push_back(best);
      text.push_back(best);
    }
    RandomModel model(seed, 1, V);
    const auto found = beam_search(model, prompt(1), options(1, 7))[0];
    REQUIRE(found.size() == 1);
    CHECK(found[0].ids == greedy);
    CHECK(found[0].ended == ended);
  }
}

TEST_CASE("sequences searched together give what each gives alone") {
  BeamOptions o = options(3, 6);
  o.n_best = 3;
  RandomModel together(5, 4, 6);
  Tensor starts = Tensor::from({4, 2}, std::vector<int>{0, 2, 0, 3, 0, 4, 0, 5});
  const auto all = beam_search(together, starts, o);
  REQUIRE(all.size() == 4);
  for (int r = 0; r < 4; r++) {
    RandomModel alone(5, 1, 6);
    const auto one = beam_search(alone, Tensor::from({1, 2}, std::vector<int>{0, r + 2}), o)[0];
    const auto& same = all[static_cast<std::size_t>(r)];
    REQUIRE(one.size() == same.size());
    for (std::size_t i = 0; i < one.size(); i++) {
      CHECK(one[i].ids == same[i].ids);
      CHECK(one[i].score == same[i].score);
    }
  }
}

TEST_CASE("a beam as wide as the tree never finds less than a narrow one") {
  for (int seed = 0; seed < 10; seed++) {
    auto best = [&](int beam) {
      BeamOptions o = options(beam, 5);
      RandomModel model(seed, 1, 5);
      return beam_search(model, prompt(1), o)[0][0].score;
    };
    CHECK(best(300) >= best(1) - 1e-12);
    CHECK(best(300) >= best(4) - 1e-12);
  }
}

TEST_CASE("outputs keep to the model's room and to the ids allowed") {
  RandomModel model(3, 1, 4, 3);  // the prompt, and two of three tokens
  BeamOptions o = options(2, 50);
  o.stop = -1;
  o.never = {0, 3};
  const auto found = beam_search(model, prompt(1), o);
  REQUIRE(found[0].size() == 1);
  for (const Hypothesis& h : found[0]) {
    CHECK(h.ids.size() == 3);
    CHECK_FALSE(h.ended);
    for (int id : h.ids) CHECK((id == 1 || id == 2));
  }
}

TEST_CASE("options out of range are usage errors") {
  RandomModel model(1, 1, 4);
  auto run = [&](BeamOptions o) {
    beam_search(model, prompt(1), o);
  };
  CHECK_THROWS_WITH_AS(run(options(0, 5)),
                       "beam: must be at least 1, and n_best between 1 and it; got 0 and 1", Error);
  CHECK_THROWS_WITH_AS(run(options(2, 0)), "beam: max_tokens must be at least 1; got 0", Error);
  BeamOptions o = options(2, 5);
  o = options(2, 5);
  o.alpha = -1;
  CHECK_THROWS_WITH_AS(run(o), "beam: alpha must be at least 0; got -1", Error);
}
