#include <doctest/doctest.h>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/trained_tokenizer.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// A file as other toolkits write it: byte-level, merges in both spellings, a special token behind the others
// and one that stands for itself.
Json foreign() {
  Json vocab = Json::object();
  const Strings tokens{"h", "e", "l", "o", "Ġ", "he", "ll", "hell", "Ġh", "!"};
  for (std::size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  auto added = [](int id, const char* content, bool special) {
    return Json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", special}};
  };
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {added(10, "<|endoftext|>", true), added(11, "hoho", false)}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}},
          {"post_processor", {{"type", "ByteLevel"}, {"trim_offsets", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"vocab", vocab},
            {"merges", {"h e", "l l", Json{"he", "ll"}, "Ġ h"}}}}};
}

std::string with(const std::string& pointer, const Json& value) {
  Json bad = foreign();
  bad[Json::json_pointer(pointer)] = value;
  return message_of(bad);
}

}  // namespace

TEST_CASE("tokenizer.json of another toolkit: ids are those of the file, saving gives back what was read") {
  const auto tokenizer = Tokenizer::from_json(foreign());
  CHECK(tokenizer->config().type == "file");
  // The merges by rank: h+e, l+l, he+ll; then o. " hello": Ġ+h has the last rank, so h goes with e first.
  CHECK(tokenizer->encode("hello hello!") == std::vector<int>{7, 3, 4, 7, 3, 9});
  CHECK(tokenizer->encode(" ho") == std::vector<int>{8, 3});
  CHECK(tokenizer->decode({7, 3, 10, 4, 7, 3}) == "hello hello");
  CHECK(tokenizer->encode("hehohoh") == std::vector<int>{5, 11, 0});  // leftmost match of the added token
  CHECK(tokenizer->encode("<|endoftext|>hz") == std::vector<int>{1, 3, 1, 0});  // e, o, e, h are known
  CHECK(tokenizer->pad_id() == 10);
  CHECK(tokenizer->unk_id() == 10);
  CHECK(tokenizer->to_json() == foreign());
  const auto again = Tokenizer::from_json(tokenizer->to_json());
  CHECK(again->encode("hello") == tokenizer->encode("hello"));
}

TEST_CASE("tokenizer.json of another toolkit: added tokens as the normalizer leaves them, gaps between ids") {
  Json lower = foreign();  // an added token is decoded as the normalizer leaves it
  lower["normalizer"] = {{"type", "Lowercase"}};
  lower["added_tokens"][1]["content"] = "HoHo", lower["added_tokens"][1]["normalized"] = true;
  CHECK(Tokenizer::from_json(lower)->encode("hoHOho") == std::vector<int>{11, 0, 3});
  CHECK(Tokenizer::from_json(lower)->decode({11}) == "hoho");
  Json apart = foreign();  // an added token that the normalizer hides is no token of the model
  apart["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", "^"}}}, {"content", "_"}};
  apart["added_tokens"][1]["normalized"] = true;
  apart["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  apart["model"] = {{"type", "WordLevel"}, {"vocab", apart["model"]["vocab"]}, {"unk_token", "!"}};
  CHECK(Tokenizer::from_json(apart)->encode("h hoho he") == std::vector<int>{9, 9, 5});
  Json gap = foreign();
  gap["model"]["vocab"]["gap"] = 40;
  CHECK(Tokenizer::from_json(gap)->vocab_size() == 41);
  CHECK(Tokenizer::from_json(gap)->decode({39, 40}) == "gap");
}

TEST_CASE("tokenizer.json of another toolkit: taken by a config, with the specials that a task needs") {
  TemporaryFolder folder;
  write_file_atomic(folder / "tokenizer.json", dump_json(foreign()));
  TokenizerConfig config = config_of("file", 0);
  CHECK_THROWS_WITH((void)Tokenizer::make(config), "tokenizer: type 'file' must have 'file'; got none");
  config.file = folder / "tokenizer.json";
  config.specials = {"<bos>", "<|endoftext|>"};
  const auto tokenizer = Tokenizer::make(config);
  tokenizer->train({"anything else"});
  CHECK(tokenizer->vocab_size() == 13);
  CHECK(tokenizer->id("<bos>") == 12);
  CHECK(tokenizer->vocab().is_special(12));
  tokenizer->save(folder / "saved.json");
  const auto loaded = Tokenizer::load(folder / "saved.json");
  CHECK(loaded->vocab().tokens() == tokenizer->vocab().tokens());
  CHECK(loaded->vocab().is_special(12));
}

TEST_CASE("tokenizer.json of another run: its tokenizer stays as it was trained") {
  TemporaryFolder folder;
  for (const char* type : {"word", "bpe", "wordpiece"}) {
    const auto first = Tokenizer::make(config_of(type, 300));
    first->train({"the river bank and the bank of the river"});
    first->save(folder / "tokenizer.json");
    TokenizerConfig config = config_of("file", 0);
    config.file = folder / "tokenizer.json";
    const auto second = Tokenizer::make(config);
    second->train({"other words"});
    CHECK(second->vocab().tokens() == first->vocab().tokens());
    CHECK(second->encode("The bank of a river") == first->encode("The bank of a river"));
    CHECK(ids_of_words(*second, {"the", "bank"}) == ids_of_words(*first, {"the", "bank"}));
  }
}

TEST_CASE("tokenizer.json of another toolkit: decoders") {
  auto decode = [](const Json& decoder, const Strings& tokens) {
    Json vocab = {{"<unk>", 0}};
    std::vector<int> ids;
    for (const std::string& token : tokens) {
      vocab.emplace(token, vocab.size());
      ids.push_back(vocab[token].get<int>());
    }
    return Tokenizer::from_json(
               {{"version", "1.0"},
                {"decoder", decoder},
                {"model", {{"type", "WordLevel"}, {"vocab", vocab}, {"unk_token", "<unk>"}}}})
        ->decode(ids);
  };
  CHECK(decode(nullptr, {"a", "b"}) == "a b");
  CHECK(decode({{"type", "Fuse"}}, {"a", "b"}) == "ab");
  CHECK(decode({{"type", "WordPiece"}}, {"un", "##do", ",", "now", "!"}) == "undo, now!");
  CHECK(decode({{"type", "WordPiece"}, {"prefix", "@@"}, {"cleanup", false}}, {"un", "@@do", "!"}) ==
        "undo !");
  CHECK(decode({{"type", "BPEDecoder"}}, {"lo", "w</w>", "est</w>"}) == "low est");
  CHECK(decode({{"type", "ByteLevel"}}, {"na", "Ã¯ve", "Ġx"}) == "naïve x");
  CHECK(decode({{"type", "Sequence"}, {"decoders", {{{"type", "ByteLevel"}}, {{"type", "Fuse"}}}}},
               {"Ġa", "b"}) == " ab");
}

TEST_CASE("tokenizer.json of another toolkit: models with prefix, suffix and unknown characters") {
  Json json = foreign();
  json["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  json["added_tokens"] = Json::array();
  json["model"] = {{"type", "BPE"},
                   {"unk_token", "?"},
                   {"end_of_word_suffix", "</w>"},
                   {"vocab", {{"?", 0}, {"l", 1}, {"o", 2}, {"w</w>", 3}, {"lo", 4}, {"low</w>", 5}}},
                   {"merges", {"l o", "lo w</w>"}}};
  CHECK(Tokenizer::from_json(json)->encode("low lo xyl") == std::vector<int>{5, 1, 0, 0, 0, 0});
  json["model"]["fuse_unk"] = true;
  CHECK(Tokenizer::from_json(json)->encode("low lo xyl") == std::vector<int>{5, 1, 0, 0});
  json["model"]["ignore_merges"] = true;
  json["model"]["vocab"]["xyl"] = 6;
  CHECK(Tokenizer::from_json(json)->encode("xyl") == std::vector<int>{6});
  json["model"] = {{"type", "BPE"},
                   {"continuing_subword_prefix", "##"},
                   {"vocab", {{"l", 0}, {"##o", 1}, {"##w", 2}, {"lo", 3}, {"low", 4}}},
                   {"merges", {"l ##o", "lo ##w"}}};
  CHECK(Tokenizer::from_json(json)->encode("low loo") == std::vector<int>{4, 3, 1});
}

TEST_CASE("tokenizer.json of another toolkit: what is not known here is named") {
  CHECK(message_of(foreign()) == "accepted");
  CHECK(
      with("/normalizer", {{"type", "Precompiled"}}) ==
      "t.json: normalizer: must be BertNormalizer, Lowercase, StripAccents, NFC, NFD, NFKC, NFKD, Replace or "
      "Sequence; got 'Precompiled'");
  CHECK(with("/pre_tokenizer/type", "Metaspace") ==
        "t.json: pre_tokenizer: must be ByteLevel, BertPreTokenizer, Whitespace, WhitespaceSplit, Split or "
        "Sequence; got 'Metaspace'");
  CHECK(with("/pre_tokenizer/x", 1) ==
        "t.json: pre_tokenizer: unknown member 'x' (known: type, add_prefix_space, trim_offsets, use_regex)");
  CHECK(with("/decoder", {{"type", "CTC"}}) ==
        "t.json: decoder: must be ByteLevel, WordPiece, BPEDecoder, Fuse or Sequence; got 'CTC'");
  CHECK(with("/post_processor/type", "X").find("t.json: post_processor: must be one of ByteLevel, ") == 0);
  CHECK(with("/model/type", "Unigram") ==
        "t.json: model: 'type' must be 'BPE', 'WordPiece' or 'WordLevel'; got 'Unigram'");
  CHECK(with("/model/dropout", 0.1) == "t.json: model: 'dropout' must be null; got '0.1'");
  CHECK(with("/model/byte_fallback", true) == "t.json: model: 'byte_fallback' must be false; got true");
  CHECK(with("/model/unk_token", "x") == "t.json: model: 'unk_token' must be a token; got 'x'");
  CHECK(with("/model/merges/0", "h x") ==
        "t.json: model: merges must be pairs of tokens that give a token; got '\"h x\"' as number 0");
  for (const Json& merge :
       {Json(1), Json("he"), Json(""), Json(" "), Json::array({"h"}), Json::array({"h", 1})})
    CHECK(with("/model/merges/1", merge).find("t.json: model: merges must be pairs") == 0);
  CHECK(with("/model/vocab/h", 2000) ==
        "t.json: model: ids must be in [0, 1036), with few gaps; got '2000' for 'h'");
  CHECK(with("/truncation", {{"max_length", 8}}).find("t.json: 'truncation' must be null; got ") == 0);
  CHECK(with("/padding", {{"strategy", {{"Fixed", 8}}}})
            .find("t.json: 'padding' must be null, or to the longest") == 0);
  CHECK(with("/padding", {{"strategy", "BatchLongest"}, {"pad_to_multiple_of", 8}})
            .find("t.json: 'padding' must") == 0);
  CHECK(with("/padding", {{"strategy", "BatchLongest"}, {"pad_id", 10}}) == "accepted");
  CHECK(with("/model/vocab/h", 3).find("t.json: model: ids must be unique; got 3 for") == 0);
  CHECK(with("/added_tokens/0/id", 9).find("t.json: added_tokens: ids must be unique; got 9") == 0);
  CHECK(with("/added_tokens/1/lstrip", true).find("t.json: added_tokens: 'lstrip' must be false") == 0);
  CHECK(with("/added_tokens/1/content", "") == "t.json: added_tokens: 'content' must not be empty");
  CHECK(with("/extra", 1).find("t.json: unknown member 'extra'") == 0);
  for (const char* bad : {"(?s)a", "(?P<n>a)", "\\p{Foo}", "[a", "a)", "*a", "[[:foo:]]+[", "(?<=a*"})
    CHECK(with("/normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", bad}}}, {"content", ""}})
              .find("t.json: normalizer: must be a regular expression; got '") == 0);
  Json deep = {{"type", "NFC"}};
  for (int i = 0; i < 70; ++i) deep = {{"type", "Sequence"}, {"normalizers", {deep}}};
  CHECK(with("/normalizer", deep) == "t.json: 'normalizer' must have at most 64 steps");
}

TEST_CASE("tokenizer.json of bpe and wordpiece: damaged files never do worse than a data error") {
  auto flips = [](const std::string& good, const char* purpose) {
    auto load = [&](const std::string& bytes) {
      try {
        const auto tokenizer = Tokenizer::from_json(parse_json(bytes, "t.json"), "t.json");
        (void)tokenizer->decode(tokenizer->encode("hello, the bank"));
      } catch (const Error& error) {
        CHECK(error.fault() == Fault::data);
      }
    };
    for (std::size_t size = 0; size < good.size(); size += good.size() / 100 + 1) load(good.substr(0, size));
    Stream stream(4, purpose);
    for (int trial = 0; trial < 700; ++trial) {
      std::string bad = good;
      for (int i = 0; i < 2; ++i) bad[stream.below(bad.size())] = static_cast<char>(stream.below(128));
      load(bad);
    }
  };
  flips(dump_json(foreign()), "foreign");
  flips(dump_json(trained("wordpiece", 40, {"hello, the bank"})->to_json()), "wordpiece");
  flips(dump_json(trained("bpe", 0, {"hello, the bank"})->to_json()), "bpe");
}

TEST_CASE("tokenizer.json of bpe and wordpiece: saved and loaded, equal to the last id") {
  for (const char* type : {"bpe", "wordpiece"}) {
    TokenizerConfig config = config_of(type, 300);
    config.specials = {"<bos>", "<eos>"};
    config.lowercase = false;
    const auto tokenizer = Tokenizer::make(config);
    tokenizer->train({"The river bank lends money. Money in the bank, a river of money!"});
    const Json json = tokenizer->to_json();
    const auto loaded = Tokenizer::from_json(json);
    CHECK(loaded->to_json() == json);
    CHECK(loaded->config().type == type);
    CHECK(loaded->encode("The bank's money") == tokenizer->encode("The bank's money"));
    Json other = json;
    other.erase("qkv");  // as other toolkits would write it
    CHECK(Tokenizer::from_json(other)->encode("The bank's money") == tokenizer->encode("The bank's money"));
  }
}
