#include <doctest/doctest.h>

#include "data/trained_tokenizer.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// A tokenizer.json of BERT's kind with this vocabulary.
std::unique_ptr<Tokenizer> with_vocab(const Strings& tokens, bool lowercase = true) {
  Json vocab = Json::object();
  for (std::size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  return Tokenizer::from_json({{"version", "1.0"},
                               {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", lowercase}}},
                               {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                               {"decoder", {{"type", "WordPiece"}}},
                               {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", vocab}}}});
}

}  // namespace

TEST_CASE("wordpiece: the longest token first; a word with an unknown part is unknown") {
  // The examples of BERT's published tests.
  const auto tokenizer = with_vocab(
      {"[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", "low", "lowest"});
  CHECK(tokenizer->split("") == Strings{});
  CHECK(tokenizer->split("unwanted running") == Strings{"un", "##want", "##ed", "runn", "##ing"});
  UnknownCount count;
  CHECK(tokenizer->encode("unwantedX running", &count) == std::vector<int>{0, 8, 9});
  CHECK(count.unknown == 1);
  CHECK(tokenizer->split("lowest wa") == Strings{"lowest", "wa"});
  CHECK(tokenizer->decode(tokenizer->encode("unwanted running")) == "unwanted running");
}

TEST_CASE("wordpiece: text is cleaned, lower-cased and cut as BERT does it") {
  auto words = [](const std::string& text, bool lowercase) {
    auto config = config_of("wordpiece", 0);
    config.lowercase = lowercase;
    const auto tokenizer = Tokenizer::make(config);
    tokenizer->train({text});
    return tokenizer->decode(tokenizer->encode(text));
  };
  CHECK(words(" \tHeLLo!how  \n Are yoU?  ", true) == "hello ! how are you ?");
  CHECK(words("H\u00e9llo", true) == "hello");
  CHECK(words("HeLLo!", false) == "HeLLo !");
  CHECK(words("H\u00e9llo", false) == "H\u00e9llo");
  CHECK(words("ah\u535a\u63a8zz", true) == "ah \u535a \u63a8 zz");
  CHECK(words("a\u00a0b\u3000c\u200dd\ufffde", true) == "a b cde");
  CHECK(words("can't $5.00 -- \u201cso\u201d", true) == "can ' t $ 5 . 00 - - \u201c so \u201d");
  CHECK(words(std::string("a\0b\x01"
                          "c",
                          5),
              true) == "abc");
}

TEST_CASE(
    "wordpiece: learned parts spell every word of the text; decoding and encoding again changes nothing") {
  const Strings texts{"The lower banks lend money; the lowest bank lends none.",
                      "Lending banks, river bank."};
  const auto tokenizer = trained("wordpiece", 50, texts);
  CHECK(tokenizer->token(0) == "[PAD]");
  CHECK(tokenizer->token(1) == "[UNK]");
  CHECK(tokenizer->vocab_size() == 50);
  CHECK(tokenizer->id("bank") > 0);
  UnknownCount count;
  const auto ids = tokenizer->encode("The LOWEST bank lent: none", &count);
  CHECK(count.unknown == 1);  // the colon
  CHECK(tokenizer->decode(ids) == "the lowest bank lent [UNK] none");
  Stream stream(5, "text");
  for (int trial = 0; trial < 300; ++trial) {
    const std::string text = random_text(stream);
    CAPTURE(text);
    const auto own = trained("wordpiece", 0, {text});
    UnknownCount unknown;
    const auto first = own->encode(text, &unknown);
    CHECK(unknown.unknown == 0);
    CHECK(own->encode(own->decode(first)) == first);
  }
}

TEST_CASE("wordpiece: words with more characters than max_word_chars are unknown") {
  auto config = config_of("wordpiece", 0);
  config.max_word_chars = 4;
  const auto tokenizer = Tokenizer::make(config);
  tokenizer->train({"aaaa \u00e9\u00e9\u00e9\u00e9 aaaaa"});
  CHECK(tokenizer->split("aaaa aaaaa") == Strings{"aaaa", "[UNK]"});
  CHECK(tokenizer->encode("\u00e9\u00e9\u00e9\u00e9").size() == 1);
  CHECK(tokenizer->to_json()["model"]["max_input_chars_per_word"] == 4);
  CHECK(tokenizer->encode(std::string(100000, 'a')) == std::vector<int>{1});
}

TEST_CASE("wordpiece: tokens are not so long that a long word takes a minute") {
  CHECK(with_vocab({"[UNK]", std::string(1000, 'a')})->split(std::string(50, 'a')) == Strings{"[UNK]"});
  CHECK_THROWS_WITH(with_vocab({"[UNK]", "a", "##" + std::string(50000, 'a')}),
                    "tokenizer: model: vocab: tokens must have at most 4100 bytes; got 50002");
  auto config = config_of("wordpiece", 0);
  config.max_word_chars = 1001;
  CHECK_THROWS_WITH(Tokenizer::make(config)->train({"a"}),
                    "tokenizer.max_word_chars must be at most 1000; got 1001");
}
