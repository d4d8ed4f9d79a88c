#include "data/kneser_ney.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/random.h"

using namespace qkv;

namespace {

std::vector<std::int32_t> random_ids(std::uint64_t seed, int n, std::uint64_t vocab_size) {
  Stream stream(seed, "ids");
  std::vector<std::int32_t> ids;
  for (int i = 0; i < n; i++)
    ids.push_back(static_cast<std::int32_t>(stream.below(1 + stream.below(vocab_size))));
  return ids;
}

}  // namespace

TEST_CASE(
    "after every history, known or not, n-grams of each order give the tokens probabilities with the sum 1") {
  for (const int n : {0, 1, 2, 30, 5000}) {
    CAPTURE(n);
    KneserNey ngrams(7);
    ngrams.add(random_ids(1, n, 6));  // of token 6, nothing is known
    ngrams.finish();
    const std::vector<std::int32_t> other = random_ids(2, 60, 7);
    for (std::size_t t = 0; t < other.size(); t++) {
      KneserNey::Nats sums{};
      for (std::int32_t token = 0; token < 7; token++) {
        std::vector<std::int32_t> ids(other.begin(), other.begin() + static_cast<std::ptrdiff_t>(t));
        ids.push_back(token);
        const KneserNey::Nats nats = ngrams.score(ids, t);
        for (std::size_t k = 0; k < sums.size(); k++) sums[k] += std::exp(-nats[k]);
      }
      for (double sum : sums) CHECK(sum == doctest::Approx(1).epsilon(1e-12));
    }
  }
}

TEST_CASE("n-grams of a text that repeats itself foretell it, the longer the better") {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 50; i++) ids.insert(ids.end(), {0, 1, 0, 2, 0, 1, 3});
  KneserNey ngrams(4);
  ngrams.add(ids);
  ngrams.finish();
  CHECK(ngrams.tokens() == 350);
  CHECK(ngrams.count(0) == 150);
  const KneserNey::Nats nats = ngrams.score(ids, 17);  // 2 after 0 1 0
  CHECK(nats[1] < nats[0]);
  CHECK(nats[2] < nats[1]);
  CHECK(nats[4] < 0.1);
}

TEST_CASE("only what ends at the first place or behind it is counted, with its whole history") {
  KneserNey ngrams(4);
  for (int i = 0; i < 3; i++) ngrams.add({0, 1, 2, 3}, 2);
  ngrams.finish();
  CHECK(ngrams.tokens() == 6);
  CHECK(ngrams.count(1) == 0);
  CHECK(ngrams.count(2) == 3);
  const KneserNey::Nats nats = ngrams.score({0, 1, 2}, 2);
  CHECK(nats[2] < nats[0]);  // it has seen 0 1 2
}
