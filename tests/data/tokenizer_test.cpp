#include "qkv/data/tokenizer.h"

#include <doctest/doctest.h>

#include "data/trained_tokenizer.h"

#include "qkv/base/random.h"

using namespace qkv;

namespace {

using test::ids_of_words;
using Ids = std::vector<int>;
using Strings = std::vector<std::string>;

std::unique_ptr<Tokenizer> trained(const TokenizerConfig& config, const Strings& texts) {
  auto tokenizer = Tokenizer::make(config);
  tokenizer->train(texts);
  return tokenizer;
}

TokenizerConfig lower_words() {
  TokenizerConfig config;
  config.lowercase = true;
  return config;
}

TokenizerConfig characters() {
  TokenizerConfig config;
  config.type = "char";
  return config;
}

}  // namespace

TEST_CASE("word tokenizer: text to ids and back, unknown words counted") {
  const auto tokenizer = trained(lower_words(), {"The bank opens.", "The river bank", "the end."});
  CHECK(tokenizer->vocab().tokens() ==
        Strings{"<pad>", "<unk>", "the", ".", "bank", "end", "opens", "river"});
  UnknownCount count;
  CHECK(tokenizer->encode("The BANK closes.", &count) == Ids{2, 4, 1, 3});
  CHECK(count.tokens == 4);
  CHECK(count.unknown == 1);
  CHECK(count.fraction() == 0.25);
  CHECK(tokenizer->decode({0, 2, 4, 1, 3, 0}) == "the bank <unk> .");
  CHECK(tokenizer->id_of("RIVER") == 7);
  CHECK(tokenizer->id("RIVER") == -1);
  CHECK(ids_of_words(*tokenizer, {"The", "bank", "closes"}, &count) == Ids{2, 4, 1});
  CHECK(count.unknown == 2);
  CHECK(tokenizer->encode("<pad> <unk>") == Ids(6, 1));
  CHECK_THROWS_WITH((void)tokenizer->encode("a\xff"),
                    "tokenizer: text must be UTF-8; got byte 0xff at byte 1");
  CHECK_THROWS_WITH((void)tokenizer->decode({8}), "vocab: id must be in [0, 8); got 8");
}

TEST_CASE("word tokenizer: text that is cut already keeps its tokens") {
  TokenizerConfig config;
  config.split = "spaces";
  const auto tokenizer = trained(config, {"then-standard 's <pad> can't"});
  CHECK(tokenizer->encode(" then-standard  can't 's\n") ==
        ids_of_words(*tokenizer, {"then-standard", "can't", "'s"}));
  CHECK(tokenizer->vocab_size() == 5);
  CHECK(tokenizer->encode("<pad>") == Ids{1});
}

TEST_CASE("word tokenizer: both apostrophes are one") {
  const auto tokenizer = trained(lower_words(), {"can't"});
  CHECK(tokenizer->encode("Can\u2019t") == Ids{2});
  CHECK(tokenizer->id_of("CAN\u2019T") == 2);
}

TEST_CASE("word tokenizer: lower case is that of all of Unicode, as tokenizer.json describes it to others") {
  const auto tokenizer = trained(lower_words(), {"über ἀλήθεια οδοσ k"});
  for (const char* text : {"Über", "ÜBER", "Ἀλήθεια", "ΟΔΟΣ", "\u212a"})
    CHECK(tokenizer->encode(text)[0] > 1);
  CHECK(tokenizer->split("İĦ\u00c5\u212b ß ẞ") == Strings{"i\u0307ħåå", "ß", "ß"});
  CHECK(tokenizer->split("\u212a.\u212a.") == Strings{"k.k."});  // lower case comes before the cut
  CHECK(tokenizer->split("'\u2019") == Strings{"''"});           // and so does the apostrophe
}

TEST_CASE("tokenizers: special tokens are those where a text names them, if it is read so") {
  TokenizerConfig config = characters();
  config.specials = {"<|endoftext|>", "<|end"};
  const auto tokenizer = trained(config, {"ab<>|"});
  CHECK(tokenizer->encode_marked("a<|endoftext|>b<|end|<pad>") ==
        Ids{tokenizer->id("a"), 2, tokenizer->id("b"), 3, tokenizer->id("|"), tokenizer->id("<"), 1,
            tokenizer->id("a"), 1, tokenizer->id(">")});
  CHECK(tokenizer->encode("<|end") == Ids{tokenizer->id("<"), tokenizer->id("|"), 1, 1, 1});
  CHECK(tokenizer->between_marks("a<|endoftext|><|endoftext|>b<unk>") == Strings{"a", "b<unk>"});
  CHECK(tokenizer->end_id() == 2);
  CHECK(trained(characters(), {"<|endoftext|>"})->end_id() == -1);
}

TEST_CASE("char tokenizer: code points to ids and back") {
  const auto tokenizer = trained(characters(), {"aab \u20ac\n"});
  CHECK(tokenizer->vocab_size() == 7);
  const std::string text = "b\u20ac a\n";
  CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
  CHECK(tokenizer->decode(tokenizer->encode("ax")) == "a\ufffd");
  CHECK(tokenizer->encode("A") == Ids{1});
}

TEST_CASE("tokenizers: a config that no tokenizer can follow is an error") {
  TokenizerConfig config = characters();
  config.split = "spaces";
  CHECK_THROWS_WITH((void)Tokenizer::make(config),
                    "tokenizer: 'split' concerns type 'word' only; got 'spaces' with 'char'");
  config.type = "wrod";
  CHECK_THROWS_WITH((void)Tokenizer::make(config), "unknown tokenizer 'wrod' (did you mean 'word'?)");
}

TEST_CASE("tokenizers: decoding and encoding again gives the same ids, for any text") {
  Stream stream(11, "text");
  const Strings pieces{"a",  "The", "bank", "'s",     "'", ".",    "1,5", " ",
                       "  ", "-",   "é",    "\u2019", "!", "U.S.", "\n"};
  for (const auto& config : {lower_words(), characters()})
    for (int trial = 0; trial < 300; ++trial) {
      std::string text;
      for (auto n = stream.below(30); n > 0; --n) text += pieces[stream.below(pieces.size())];
      CAPTURE(text);
      const auto tokenizer = trained(config, {text});
      UnknownCount count;
      const Ids ids = tokenizer->encode(text, &count);
      CHECK(count.unknown == 0);
      CHECK(tokenizer->encode(tokenizer->decode(ids)) == ids);
    }
}

TEST_CASE("tokenizers: random bytes are encoded or refused as not UTF-8") {
  Stream stream(12, "bytes");
  const auto word = trained(lower_words(), {"a b c"}), character = trained(characters(), {"a b c"});
  for (int trial = 0; trial < 2000; ++trial) {
    std::string text(stream.below(20), '\0');
    for (char& c : text) c = static_cast<char>(stream.below(trial % 2 ? 128 : 256));
    for (const auto* tokenizer : {word.get(), character.get()}) {
      try {
        (void)tokenizer->encode(text);
      } catch (const Error& error) {
        CHECK(error.fault() == Fault::data);
        CHECK(std::string(error.what()).find("must be UTF-8") != std::string::npos);
      }
    }
  }
}

TEST_CASE("tokenizer: 'lowercase' is false for tokenizers that keep the case, whatever the config says") {
  auto lowercase = [](const std::string& text) {
    const Section root = Section::parse("[tokenizer]\n" + text);
    TokenizerConfig config;
    read_tokenizer(root.section("tokenizer"), config);
    root.finish();
    return config.lowercase;
  };
  CHECK(lowercase(""));
  CHECK(lowercase("type = \"wordpiece\""));
  CHECK_FALSE(lowercase("lowercase = false"));
  for (const char* type : {"char", "bpe", "file"}) {
    const std::string line = fmt::format("type = \"{}\"\n", type);
    CHECK_FALSE(lowercase(line));
    CHECK_FALSE(lowercase(line + "lowercase = false"));
    CHECK_FALSE(lowercase(line + "lowercase = true"));
  }
}
