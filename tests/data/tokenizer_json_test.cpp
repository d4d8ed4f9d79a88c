#include <doctest/doctest.h>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/trained_tokenizer.h"
#include "qkv/base/json.h"
#include "qkv/base/random.h"
#include "qkv/data/tokenizer.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::unique_ptr<Tokenizer> trained(const std::string& type, bool lowercase, const std::string& split,
                                   const std::string& text) {
  TokenizerConfig config;
  config.type = type;
  config.lowercase = lowercase;
  config.split = split;
  if (split == "spaces") config.specials = {"<bos>", "<eos>"};
  auto tokenizer = Tokenizer::make(config);
  tokenizer->train({text});
  return tokenizer;
}

}  // namespace

TEST_CASE("tokenizer.json: saves and loads every type and option, in the layout of Hugging Face") {
  TemporaryFolder folder;
  const std::string text = "The \"bank\" can't \u00e9 \U0001f600 \\ end.";
  std::vector<std::unique_ptr<Tokenizer>> all;
  for (bool lowercase : {false, true}) {
    all.push_back(trained("word", lowercase, "words", text));
    all.push_back(trained("word", lowercase, "spaces", text));
    all.push_back(trained("char", lowercase, "words", text));
  }
  for (const auto& tokenizer : all) {
    tokenizer->save(folder / "tokenizer.json");
    const auto loaded = Tokenizer::load(folder / "tokenizer.json");
    CHECK(loaded->vocab().tokens() == tokenizer->vocab().tokens());
    CHECK(loaded->to_json() == tokenizer->to_json());
    CHECK(loaded->encode("The bank can't") == tokenizer->encode("The bank can't"));
    CHECK(message_of(tokenizer->to_json()) == "accepted");
    const Json json = read_json(folder / "tokenizer.json");
    CHECK(loaded->config().type == tokenizer->config().type);
    CHECK(json.size() == 9);  // other toolkits refuse members that they do not know
    CHECK_FALSE(json.contains("qkv"));
    CHECK(json["version"] == "1.0");
    CHECK(json["model"]["type"] == "WordLevel");
    CHECK(json["model"]["vocab"]["<unk>"] == 1);
    CHECK(json["added_tokens"][0]["content"] == "<pad>");
  }
}

TEST_CASE(
    "tokenizer.json of an earlier version: read as it was, A to Z in lower case, and written as it was") {
  Json old = trained("word", false, "words", "über Ärzte the")->to_json();
  old["normalizer"] = trained("word", true, "words", "a")->to_json()["normalizer"];
  old["qkv"] = Json{{"type", "word"}, {"lowercase", true}, {"split", "words"},
                    {"min_freq", 1},  {"vocab_size", 0},   {"specials", Json::array()}};
  const auto words = Tokenizer::from_json(old);
  CHECK(words->split("THE Ärzte") == std::vector<std::string>{"the", "Ärzte"});
  CHECK(words->encode("THE Ärzte über")[1] == words->id("Ärzte"));
  CHECK(words->to_json()["qkv"]["lowercase"] == true);
  CHECK(Tokenizer::from_json(words->to_json())->split("Ä") == std::vector<std::string>{"Ä"});
  // Where all tokens are ASCII both ways are one, and what is written is of this version.
  Json ascii = trained("word", true, "words", "The bank")->to_json();
  ascii["qkv"] = old["qkv"];
  CHECK(Tokenizer::from_json(ascii)->to_json() == trained("word", true, "words", "The bank")->to_json());
}

TEST_CASE("tokenizer.json: what is missing, wrong or contradictory is named") {
  const Json good = trained("word", true, "words", "a b")->to_json();
  auto with = [&](const std::string& pointer, const Json& value) {
    Json bad = good;
    bad[Json::json_pointer(pointer)] = value;
    return message_of(bad);
  };
  CHECK(message_of(Json::array()) == "t.json: must be a JSON object; got array");
  CHECK(message_of(Json::object()) == "t.json: must have 'version'; got none");
  CHECK(with("/version", "2.0") == "t.json: 'version' must be '1.0'; got '2.0'");
  CHECK(with("/version", 1) == "t.json: 'version' must be a string; got '1'");
  CHECK(with("/model/unk_token", "x") == "t.json: model: 'unk_token' must be '<unk>'; got 'x'");
  CHECK(with("/model/vocab/a", 7) == "t.json: model: ids must be 0 to 3 without gaps; got '7' for 'a'");
  CHECK(with("/model/vocab/a", -2) == "t.json: model: ids must be 0 to 3 without gaps; got '-2' for 'a'");
  CHECK(with("/model/vocab/a", 2.5) == "t.json: model: ids must be 0 to 3 without gaps; got '2.5' for 'a'");
  CHECK(with("/model/vocab/b", 2) == "t.json: model: ids must be unique; got 2 for 'a' and 'b'");
  CHECK(with("/model/vocab", Json::object()) ==
        "t.json: model: vocab must have at least the 2 special tokens; got 0 tokens");
  CHECK(with("/model/vocab", Json{{"x", 0}, {"y", 1}}) == "t.json: model: id 0 must be '<pad>'; got 'x'");
  CHECK(with("/extra", 1).find("t.json: unknown member 'extra'") == 0);
}

TEST_CASE("tokenizer.json: damaged files never do worse than a data error") {
  TemporaryFolder folder;
  const std::string path = folder / "tokenizer.json";
  trained("word", true, "words", "a b can't \u00e9")->save(path);
  const std::string good = read_file(path);
  auto load = [&](const std::string& bytes) {
    try {
      (void)Tokenizer::from_json(parse_json(bytes, "t.json"), "t.json");
    } catch (const Error& error) {
      CHECK(error.fault() == Fault::data);
    }
  };
  for (std::size_t size = 0; size < good.size(); size += 7) load(good.substr(0, size));
  Stream stream(2, "flip");
  for (int trial = 0; trial < 3000; ++trial) {
    std::string bad = good;
    for (int i = 0; i < 2; ++i) bad[stream.below(bad.size())] = static_cast<char>(stream.below(256));
    load(bad);
  }
  CHECK_THROWS_AS((void)Tokenizer::load(folder / "none"), Error);
}
