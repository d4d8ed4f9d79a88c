#include "data/text_stream.h"

#include <doctest/doctest.h>

#include <map>

#include "qkv/base/random.h"

using namespace qkv;

namespace {

// Tokens that are bytes, so that characters are split among them; counts what is decoded.
struct Bytes : Tokenizer {
  Bytes() : Tokenizer(config_of()) {}
  static TokenizerConfig config_of() {
    TokenizerConfig config;
    config.split = "words";
    return config;
  }
  std::vector<std::string> split(std::string_view text) const override {
    std::vector<std::string> bytes;
    for (char c : text) bytes.emplace_back(1, c);
    return bytes;
  }
  std::string decode(const std::vector<int>& ids) const override {
    decoded += ids.size();
    std::string bytes, text;
    for (int id : ids) bytes += static_cast<char>(id);
    for (std::size_t at; (at = first_invalid_utf8(bytes)) != std::string::npos;) {
      text += bytes.substr(0, at) + "\xEF\xBF\xBD";
      bytes.erase(0, at + 1);
    }
    return text + bytes;
  }
  mutable std::size_t decoded = 0;
};

std::vector<int> ids_of(const std::string& text) {
  std::vector<int> ids;
  for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<int>& prompt, const std::string& text,
                     const std::vector<int>& ids) {
  TextStream stream(tokenizer, prompt, text);
  std::string all;
  for (int id : ids) {
    const std::string piece = stream.add(id);
    CHECK(first_invalid_utf8(piece) == std::string::npos);
    all += piece;
  }
  return all + stream.finish();
}

}  // namespace

TEST_CASE("a stream gives whole characters only, and together the text") {
  const Bytes bytes;
  const std::string text = "na\u00efve \u4f60\u597d \U0001F600!";
  CHECK(streamed(bytes, {}, "", ids_of(text)) == text);
  TextStream stream(bytes, {}, "");
  CHECK(stream.add(0xC3) == "");
  CHECK(stream.add(0xAF) == "\u00ef");
  CHECK(stream.add(0xC3) == "");
  CHECK(stream.finish() == "\uFFFD");  // the other half never came
  CHECK(stream.finish() == "");
}

TEST_CASE("bytes that never become a character do not hold a stream up, nor does its length") {
  const Bytes bytes;
  TextStream stream(bytes, {}, "");
  std::string all;
  for (int i = 0; i < 1000; i++) all += stream.add(0x80);
  all += stream.finish();
  CHECK(all.size() == 3000);
  CHECK(bytes.decoded < 50 * 1000);
}

TEST_CASE("tokens of byte pairs that end within a character stream as the text that they are together") {
  TokenizerConfig config;
  config.type = "bpe";
  config.vocab_size = 330;
  auto bpe = Tokenizer::make(config);
  bpe->train(
      {"\U0001F600 \U0001F601 \U0001F602 \u4f60\u597d a\u00e9 \U0001F600\U0001F601 \U0001F64F na\u00efve"});
  const std::string prompt = "a \U0001F600";
  const std::vector<int> begin = bpe->encode(prompt);
  Stream draws(7, "stream");
  for (int i = 0; i < 500; i++) {
    std::vector<int> ids;
    for (int n = 0; n < 12; n++)
      ids.push_back(static_cast<int>(draws.below(static_cast<std::uint64_t>(bpe->vocab_size()))));
    CHECK(streamed(*bpe, begin, prompt, ids) == bpe->decode(ids));
  }
}

TEST_CASE("words are set apart by spaces from the prompt on, but not twice") {
  TokenizerConfig config;
  config.specials = {"<eos>"};
  auto words = Tokenizer::make(config);
  words->train({"once upon a time there was a fox ."});
  auto ids = [&](const std::string& text) {
    return words->encode(text);
  };
  CHECK(streamed(*words, ids("once upon"), "once upon", ids("a time")) == " a time");
  CHECK(streamed(*words, ids("once upon"), "once upon ", ids("a time")) == "a time");
  CHECK(streamed(*words, {}, "", ids("a time")) == "a time");
  std::vector<int> with_special = ids("a fox");
  with_special.insert(with_special.begin() + 1, words->id("<eos>"));
  CHECK(streamed(*words, ids("there was"), "there was\n", with_special) == "a fox");
  config.type = "char";
  auto characters = Tokenizer::make(config);
  characters->train({"a b"});
  CHECK(streamed(*characters, characters->encode("a "), "a ", characters->encode(" b")) == " b");
}
