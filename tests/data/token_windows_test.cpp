#include "data/token_windows.h"

#include <doctest/doctest.h>

#include <map>

#include "data/text_files.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::unique_ptr<Tokenizer> characters(const std::string& text) {
  TokenizerConfig config;
  config.type = "char";
  auto tokenizer = Tokenizer::make(config);
  tokenizer->train({text});
  return tokenizer;
}

// Texts of one letter each, in files of these many characters.
struct Letters {
  explicit Letters(const std::vector<int>& sizes) : tokenizer(characters("abc")) {
    for (std::size_t k = 0; k < sizes.size(); k++) {
      const char letter = static_cast<char>('a' + k);
      const std::string name = std::string(1, letter) + ".txt";
      sources.push_back(
          TextSource(folder.write(name, std::string(static_cast<std::size_t>(sizes[k]), letter))));
    }
  }
  TokenWindows windows(Index length, const std::vector<double>& weights = {}) {
    std::vector<TokenCorpus> corpora;
    for (TextSource& source : sources) corpora.emplace_back(TextShare{source}, *tokenizer);
    return TokenWindows(std::move(corpora), length, weights);
  }
  TextFolder folder;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<TextSource> sources;
};

std::size_t text_of(const TokenWindows& windows, const TokenCorpus& corpus) {
  return static_cast<std::size_t>(&corpus - windows.texts().data());
}

}  // namespace

TEST_CASE("windows side by side predict every token of every text but its first once, whatever is mixed") {
  Letters letters({21, 9, 2});
  const TokenWindows windows = letters.windows(4);
  CHECK(windows.examples() == 5 + 2 + 1);
  CHECK(windows.tokens() == 32);
  const std::vector<std::pair<std::size_t, Index>> expected{{0, 0},  {0, 4}, {0, 8}, {0, 12},
                                                            {0, 16}, {1, 0}, {1, 4}, {2, 0}};
  for (Index i = 0; i < 8; i++) {
    const auto [corpus, begin] = windows.at(i, nullptr);
    CHECK(std::pair(text_of(windows, corpus), begin) == expected[static_cast<std::size_t>(i)]);
  }
}

TEST_CASE("an epoch has of each text the share of its weight, in every stretch of it") {
  Letters letters({40001, 2001, 801});
  const TokenWindows windows = letters.windows(8, {2, 1, 1});
  const Index n = windows.examples();
  CHECK(n == 5000 + 250 + 100);
  std::vector<int> texts;
  for (Index i = 0; i < n; i++)
    texts.push_back(static_cast<int>(text_of(windows, windows.at(i, nullptr).corpus)));
  for (Index begin = 0; begin + 100 <= n; begin += 100) {
    std::map<int, int> counts;
    for (Index i = begin; i < begin + 100; i++) counts[texts[static_cast<std::size_t>(i)]]++;
    CHECK(std::abs(counts[0] - 50) <= 1);
    CHECK(std::abs(counts[1] - 25) <= 1);
    CHECK(std::abs(counts[2] - 25) <= 1);
  }
  CHECK(windows.passes(0) == doctest::Approx(2675.0 * 8 / 40001));
  CHECK(windows.passes(2) == doctest::Approx(13.4).epsilon(0.01));  // of 100 windows, 1337 or 1338 examples
  // Another ratio, and a weight below a thousandth.
  const TokenWindows rare = letters.windows(8, {1, 1e-9, 1});
  int seen = 0;
  for (Index i = 0; i < 1001; i++) seen += text_of(rare, rare.at(i, nullptr).corpus) == 1;
  CHECK(seen == 1);
}

TEST_CASE("an epoch passes over all of a text, sparsely or several times") {
  Letters letters({8001, 401});
  const TokenWindows windows = letters.windows(8, {1, 4});  // 210 of 1000 windows, and 840 of 50
  for (int epoch = 0; epoch < 3; epoch++) {
    std::vector<Index> begins[2];
    for (Index i = 0; i < windows.examples(); i++) {
      Stream random(7, "place", epoch, i);
      const auto [corpus, begin] = windows.at(i, &random);
      REQUIRE(begin >= 0);
      REQUIRE(begin + 8 < corpus.size());
      begins[text_of(windows, corpus)].push_back(begin);
    }
    REQUIRE(begins[0].size() == 210);
    REQUIRE(begins[1].size() == 840);
    for (std::size_t i = 0; i < 210; i++) {  // one of each part of 8000 / 210 tokens
      const auto part = static_cast<Index>(i);
      CHECK(begins[0][i] >= part * 8000 / 210);
      CHECK(begins[0][i] <= (part + 1) * 8000 / 210);
    }
    std::vector<int> covered(401);
    for (Index begin : begins[1])
      for (Index t = begin; t < begin + 8; t++) covered[static_cast<std::size_t>(t)]++;
    for (std::size_t t = 8; t < 392; t++) REQUIRE(covered[t] >= 4);  // 17 on average
  }
}

TEST_CASE("the places of one text are those of a mixture of one") {
  Letters letters({1000});
  const TokenWindows windows = letters.windows(7, {3});
  CHECK(windows.examples() == 142);
  for (Index i = 0; i < 142; i++) CHECK(windows.at(i, nullptr).begin == 7 * i);
  Stream a(1, "place"), b(1, "place");
  for (Index i = 0; i < 142; i++)
    CHECK(windows.at(i, &a).begin == std::clamp<Index>(7 * i - 3 + static_cast<Index>(b.below(7)), 0, 992));
  CHECK(windows.characters_per_token() == 1);
  CHECK(windows.hold(letters.tokenizer->id("a")));
  CHECK_FALSE(windows.hold(letters.tokenizer->id("b")));
}

TEST_CASE(
    "of texts with too many tokens, equal parts are read that are spread evenly; pieces end with a token") {
  Letters letters({200000, 40000});
  const TokenWindows windows = letters.windows(10);
  std::map<std::int32_t, std::size_t> tokens;
  std::size_t pieces = 0;
  const auto take = [&](const std::vector<std::int32_t>& ids) {
    tokens[ids[0]] += ids.size(), pieces++;
    CHECK(std::count(ids.begin(), ids.end(), ids[0]) == static_cast<std::ptrdiff_t>(ids.size()));
  };
  windows.for_sequences(100000, -1, take);
  const std::int32_t a = letters.tokenizer->id("a"), b = letters.tokenizer->id("b");
  CHECK(pieces == 5 + 1);
  CHECK(tokens[a] == 16384 * 4 + 200000 - 4 * 3 * 16384);
  CHECK(tokens[b] == 16384);
  tokens.clear(), pieces = 0;
  windows.for_sequences(240000, -1, take);  // all, text by text
  CHECK(pieces == 2);
  CHECK(tokens == std::map<std::int32_t, std::size_t>{{a, 200000}, {b, 40000}});
  pieces = 0;
  windows.for_sequences(240000, b, take);  // b ends a piece
  CHECK(pieces == 1 + 40000);
}
