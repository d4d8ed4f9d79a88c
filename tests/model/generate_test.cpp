#include "qkv/model/generate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

using namespace qkv;

namespace {

// How often each token is drawn in n draws.
std::map<int, int> draws(const std::vector<float>& logits, SamplingOptions options, int n = 20000) {
  Sampling sampling(options, 7);
  std::map<int, int> counts;
  for (int i = 0; i < n; i++) counts[sampling.next(logits.data(), static_cast<Index>(logits.size()), 0, i)]++;
  return counts;
}

std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

// Counts up from the last token it was fed, in a window of `room` tokens; logits of n tokens.
struct Counter : Generator {
  explicit Counter(Index n, Index room) : n(n), room(room) {}
  struct State : Decoding {
    explicit State(const Counter& of) : of(of) {}
    Tensor feed(const Tensor& ids) override {
      fed += ids.dim(1);
      if (of.room >= 0) CHECK(fed <= of.room);
      of.feeds.push_back(ids.dim(1));
      Tensor logits = Tensor::zeros({1, of.n});
      logits.data<float>()[(ids.data<std::int32_t>()[ids.size() - 1] + 1) % of.n] = 9;
      return logits;
    }
    void select(const std::vector<int>&) override {}
    Index room() const override { return of.room < 0 ? -1 : of.room - fed; }
    const Counter& of;
    Index fed = 0;
  };
  std::unique_ptr<Decoding> start(const Batch&, Index) const override {
    return std::make_unique<State>(*this);
  }
  Index n, room;
  mutable std::vector<Index> feeds;
};

std::vector<int> continued(const Counter& model, const std::vector<int>& prompt, GenerateOptions options) {
  options.sampling.temperature = 0;
  std::vector<int> ids;
  generate(model, prompt, options, [&](int id) {
    ids.push_back(id);
    return true;
  });
  return ids;
}

}  // namespace

TEST_CASE("the last document of a text follows the last end before its last token") {
  CHECK(last_document({1, 9, 2, 9, 3, 4}, 9) == std::vector<int>{3, 4});
  CHECK(last_document({1, 9, 2, 9}, 9) == std::vector<int>{9});
  CHECK(last_document({1, 2}, 9) == std::vector<int>{1, 2});
  CHECK(last_document({1, 9, 2}, -1) == std::vector<int>{1, 9, 2});
  CHECK(last_document({}, 9).empty());
}

TEST_CASE("temperature 0 takes the likeliest token, the lower id of equals") {
  Sampling greedy({0.0, 0, 1.0, 0.0});
  const float logits[] = {1, 3, 3, -1};
  CHECK(greedy.next(logits, 4, 0, 0) == 1);
}

TEST_CASE("draws follow the probabilities, and the temperature their powers") {
  const auto plain = draws(logs({0.5, 0.3, 0.2}), {});
  CHECK(plain.at(0) / 20000.0 == doctest::Approx(0.5).epsilon(0.03));
  CHECK(plain.at(1) / 20000.0 == doctest::Approx(0.3).epsilon(0.04));
  SamplingOptions cold;
  cold.temperature = 0.5;  // p^2: 0.25 : 0.09 : 0.04
  CHECK(draws(logs({0.5, 0.3, 0.2}), cold).at(0) / 20000.0 == doctest::Approx(0.25 / 0.38).epsilon(0.03));
}

TEST_CASE("options work up to the edges of their ranges") {
  const std::vector<float> logits = logs({0.05, 0.4, 0.3, 0.25});
  for (const double least : {5e-324, 1e-320, 1e-300})
    for (const SamplingOptions& o :
         {SamplingOptions{least, 0, 1.0, 0.0}, SamplingOptions{1.0, 0, least, 0.0}}) {
      CHECK(draws(logits, o, 50) == std::map<int, int>{{1, 50}});
    }
  CHECK(draws(logits, {1e308, 0, 1.0, 0.0}, 1000).size() == 4);
  CHECK(draws(logits, {1.0, 0, 1.0, 1.0}, 50) == std::map<int, int>{{1, 50}});
  CHECK(draws(logits, {1.0, std::numeric_limits<Index>::max(), 1.0, 0.0}, 1000).size() == 4);
}

TEST_CASE("logits of which no token follows are an error that says which") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::pair<std::vector<float>, const char*> cases[] = {
      {{0, NAN, 1}, "got NaN for token 1 of 3"},
      {{0, 1, kInfinity}, "got infinity for token 2 of 3"},
      {{-kInfinity, -kInfinity}, "got -infinity for token 0 of 2"}};
  for (auto& [logits, words] : cases)
    for (double temperature : {0.0, 1.0}) {
      Sampling sampling({temperature, 0, 1.0, 0.0});
      std::string message;
      try {
        sampling.next(logits.data(), static_cast<Index>(logits.size()), 0, 0);
      } catch (const Error& e) {
        message = e.what();
        CHECK(e.fault() == Fault::data);
      }
      CHECK_MESSAGE(message.find(words) != std::string::npos, message);
    }
}

TEST_CASE("top_k, top_p and min_p keep exactly the tokens they say") {
  const std::vector<float> logits = logs({0.05, 0.4, 0.3, 0.25});
  auto kept = [&](SamplingOptions options) {
    std::vector<int> ids;
    for (auto& [id, count] : draws(logits, options, 2000)) ids.push_back(id);
    return ids;
  };
  CHECK(kept({1.0, 2, 1.0, 0.0}) == std::vector<int>{1, 2});
  CHECK(kept({1.0, 0, 0.6, 0.0}) == std::vector<int>{1, 2});  // 0.4 is less, 0.7 reaches it
  CHECK(kept({1.0, 0, 0.71, 0.0}) == std::vector<int>{1, 2, 3});
  CHECK(kept({1.0, 0, 1.0, 0.7}) == std::vector<int>{1, 2});  // 0.3 / 0.4 = 0.75, 0.25 / 0.4 = 0.625
  CHECK(kept({1.0, 1, 1.0, 0.0}) == std::vector<int>{1});
  CHECK(kept({1.0, 3, 0.6, 0.0}) == std::vector<int>{1, 2});  // of the three left, 0.4 + 0.3 reach 0.6
}

TEST_CASE("top_k and top_p select among many tokens what a full sort would") {
  std::vector<float> logits;
  for (int i = 0; i < 5000; i++) logits.push_back(static_cast<float>((i * 7919) % 5000) / 400);
  std::vector<std::pair<double, int>> sorted;
  double total = 0;
  for (int i = 0; i < 5000; i++) {
    const double p = std::exp(static_cast<double>(logits[static_cast<std::size_t>(i)]));
    sorted.emplace_back(-p, i);
    total += p;
  }
  std::sort(sorted.begin(), sorted.end());
  double reached = 0;
  std::map<int, bool> nucleus;
  for (auto& [p, id] : sorted)
    if (reached < 0.3 * total) reached -= p, nucleus[id] = true;
  REQUIRE(nucleus.size() > 64);  // more than the first portion
  SamplingOptions top_p, top_k;
  top_p.top_p = 0.3;
  top_k.top_k = 3;
  const auto drawn = draws(logits, top_p, 20000);
  CHECK(drawn.size() == nucleus.size());
  for (auto& [id, count] : drawn) CHECK(nucleus.count(id) == 1);
  for (auto& [id, count] : draws(logits, top_k, 300))
    CHECK((id == sorted[0].second || id == sorted[1].second || id == sorted[2].second));
}

TEST_CASE("a token of -inf is never drawn, and large logits do not overflow") {
  const float minus = -std::numeric_limits<float>::infinity();
  CHECK(draws({minus, 3e38f, minus}, {}, 100) == std::map<int, int>{{1, 100}});
  CHECK(draws({1000, 1000, -1000}, {}, 1000).count(2) == 0);
}

TEST_CASE("equal seeds, rows and positions give equal draws, others do not") {
  const std::vector<float> logits(50, 0.0f);
  auto sequence = [&](std::uint64_t seed, Index row) {
    Sampling sampling({}, seed);
    std::vector<int> ids;
    for (Index i = 0; i < 20; i++) ids.push_back(sampling.next(logits.data(), 50, row, i));
    return ids;
  };
  CHECK(sequence(1, 0) == sequence(1, 0));
  CHECK(sequence(1, 0) != sequence(2, 0));
  CHECK(sequence(1, 0) != sequence(1, 1));
}

TEST_CASE("options out of range are refused") {
  auto refused = [](SamplingOptions options) {
    CHECK_THROWS_AS(Sampling{options}, Error);
  };
  refused({-1.0, 0, 1.0, 0.0});
  refused({1.0, -1, 1.0, 0.0});
  refused({1.0, 0, 0.0, 0.0});
  refused({1.0, 0, 1.5, 0.0});
  refused({1.0, 0, 1.0, 2.0});
  refused({NAN, 0, 1.0, 0.0});
}

TEST_CASE("a text goes on beyond the room of its model, from the last half of what it holds") {
  const Counter model(100, 8);
  GenerateOptions options;
  options.max_tokens = 12;
  CHECK(continued(model, {1, 2, 3}, options) == std::vector<int>{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
  CHECK(model.feeds == std::vector<Index>{3, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 4});
  const Counter endless(100, -1);
  CHECK(continued(endless, {5}, options).back() == 17);
  CHECK(continued(model, std::vector<int>(20, 41), options).front() == 42);  // a prompt longer than the room
}

TEST_CASE("the stop id ends a text, ids that are never wanted are passed over") {
  const Counter model(100, -1);
  GenerateOptions options;
  options.stop = 6;
  CHECK(continued(model, {3}, options) == std::vector<int>{4, 5});
  options.never = {5};
  CHECK(continued(model, {3}, options).at(1) == 0);  // the next likeliest, by the lowest id
  CHECK_THROWS_WITH_AS(continued(model, {}, options), doctest::Contains("the prompt must hold a token"),
                       Error);
}
