#include <doctest/doctest.h>

#include "data/trained_tokenizer.h"
#include "qkv/base/json.h"
#include "qkv/base/random.h"
#include "qkv/base/text.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("bpe: the merges of a worked example, ties by the lowest ids") {
  // low 5, lower 2, newest 6, widest 3 (the words of Sennrich et al., 2016). Counts of pairs at first: es 9,
  // st 9, we 8, lo 7, ow 7, ...; es and st tie, and e comes before s. Every later step was worked out the
  // same way.
  Strings texts(5, "low");
  texts.insert(texts.end(), 2, "lower");
  texts.insert(texts.end(), 6, "newest");
  texts.insert(texts.end(), 3, "widest");
  const auto tokenizer = trained("bpe", 0, texts);
  const Json json = tokenizer->to_json();
  Strings merges;
  for (const Json& merge : json["model"]["merges"])
    merges.push_back(merge[0].get<std::string>() + "+" + merge[1].get<std::string>());
  CHECK(merges == Strings{"e+s", "es+t", "l+o", "lo+w", "e+w", "n+ew", "new+est", "d+est", "i+dest",
                          "w+idest", "e+r", "low+er"});
  CHECK(tokenizer->vocab_size() == 2 + 256 + 12);
  CHECK(tokenizer->split("lowest") == Strings{"low", "est"});
  CHECK(tokenizer->split("wider") == Strings{"w", "i", "d", "er"});
  CHECK(trained("bpe", 2 + 256 + 3, texts)->split("lowest") == Strings{"lo", "w", "est"});
}

TEST_CASE("bpe: text is cut as GPT-2 cuts it, with all of Unicode") {
  // With room for every merge each piece becomes one token.
  const Strings pieces{"I",  "'m",  " ",      " here",  ",",  " it",         "'S",   " 42",
                       "%",  " of", " naïve", "\u00a0", "x",  "'ll",         "\n\n", " ok",
                       "!?", " ½²", "\t",     "日本",   "。", " \U0001f600", "   "};
  const std::string text = join(pieces, "");
  const auto tokenizer = trained("bpe", 4000, {text});
  Strings expected = pieces;
  expected[6] = "'", expected.insert(expected.begin() + 7, "S");  // contractions are in lower case only
  Strings found;
  for (int id : tokenizer->encode(text)) found.push_back(tokenizer->decode({id}));
  CHECK(found == expected);
}

TEST_CASE("bpe: any text has ids, none is unknown, and decodes to itself") {
  const auto tokenizer = trained("bpe", 300, {"the bank of the river, the river bank"});
  Stream stream(3, "text");
  for (int trial = 0; trial < 400; ++trial) {
    const std::string text = random_text(stream);
    CAPTURE(text);
    UnknownCount count;
    const std::vector<int> ids = tokenizer->encode(text, &count);
    CHECK(count.unknown == 0);
    CHECK(tokenizer->decode(ids) == text);
  }
  CHECK_THROWS_WITH((void)tokenizer->encode("a\xff"),
                    "tokenizer: text must be UTF-8; got byte 0xff at byte 1");
  const int first = tokenizer->id("Ã");  // the first byte of é alone: no character yet
  REQUIRE(first >= 0);
  CHECK(tokenizer->decode({first}) == "\ufffd");
}

TEST_CASE("bpe: long words without spaces cost little more than their length") {
  std::string word;
  for (int i = 0; i < 200000; ++i) word += static_cast<char>('a' + std::int64_t(i) * i % 23 % 5);
  const auto tokenizer = trained("bpe", 400, {word});
  CHECK(tokenizer->decode(tokenizer->encode(word)) == word);
  CHECK(tokenizer->encode(word).size() < word.size() / 2);
}

TEST_CASE("bpe: training does not depend on the order of the texts") {
  Strings texts{"one two three two", "three four five", "five one one", "seven eleven"};
  const Json there = trained("bpe", 290, texts)->to_json();
  std::reverse(texts.begin(), texts.end());
  CHECK(trained("bpe", 290, texts)->to_json() == there);
}

TEST_CASE("bpe: words of a sentence keep the space before them, specials never come from a text") {
  TokenizerConfig config = config_of("bpe", 0);
  config.specials = {"<bos>"};
  const auto tokenizer = Tokenizer::make(config);
  tokenizer->train_words({{"the", "bank", "opens"}, {"the", "bank"}});
  CHECK(ids_of_words(*tokenizer, {"the", "bank"}) == tokenizer->encode("the bank"));
  CHECK(tokenizer->encode("the bank").size() == 2);
  CHECK(tokenizer->id("<bos>") == 2);
  for (int id : tokenizer->encode("<bos><pad>")) CHECK(id > 2);
  CHECK(tokenizer->decode({2, tokenizer->id("the"), 0}) == "the");
  config.split = "spaces";
  CHECK_THROWS_WITH((void)Tokenizer::make(config),
                    "tokenizer: 'split' concerns type 'word' only; got 'spaces' with 'bpe'");
  config = config_of("bpe", 200);
  CHECK_THROWS_WITH(
      (void)Tokenizer::make(config),
      "tokenizer: vocab_size must be at least 258 with 'bpe', special tokens and bytes; got 200");
}
