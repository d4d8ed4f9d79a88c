// Tokenizers for tests, and texts that try them.
#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "qkv/base/json.h"
#include "qkv/base/random.h"
#include "qkv/data/tokenizer.h"

namespace qkv::test {

using Strings = std::vector<std::string>;

inline TokenizerConfig config_of(const std::string& type, int vocab_size) {
  TokenizerConfig config;
  config.type = type;
  config.vocab_size = vocab_size;
  return config;
}

inline std::unique_ptr<Tokenizer> trained(const std::string& type, int vocab_size, const Strings& texts) {
  auto tokenizer = Tokenizer::make(config_of(type, vocab_size));
  tokenizer->train(texts);
  return tokenizer;
}

/// What reading this tokenizer.json says; every error must be a data error.
inline std::string message_of(const Json& json) {
  try {
    (void)Tokenizer::from_json(json, "t.json");
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::data);
    return error.what();
  }
  return "accepted";
}

/// The ids of a text that is already cut.
inline std::vector<int> ids_of_words(const Tokenizer& tokenizer, const Strings& words,
                                     UnknownCount* counts = nullptr) {
  std::vector<int> ids;
  for (const std::string& word : words) tokenizer.append_word(word, &word == &words[0], ids, counts);
  return ids;
}

/// Up to 30 pieces: words, marks, accents apart and composed, ideographs, emoji, white space of all kinds.
inline std::string random_text(Stream& stream) {
  static const Strings pieces{"a",
                              "The",
                              "bank",
                              "'s",
                              "'",
                              ".",
                              "1,5",
                              " ",
                              "  ",
                              "-",
                              "é",
                              "e\u0301",
                              "\u2019",
                              "!",
                              "ß",
                              "İ",
                              "\n",
                              "\t",
                              "\u00a0",
                              "日本",
                              "ﬁ",
                              "Σς",
                              "\u200d",
                              "$",
                              "##",
                              "[UNK]",
                              "<unk>",
                              "\u0000",
                              "\U0001f469\u200d\U0001f680",
                              "\ufeff",
                              "привет",
                              "\u0939\u093f"};
  std::string text;
  for (auto n = stream.below(30); n > 0; --n) text += pieces[stream.below(pieces.size())];
  return text;
}

}  // namespace qkv::test
