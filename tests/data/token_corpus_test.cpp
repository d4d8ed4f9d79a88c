#include "data/token_corpus.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;
using namespace qkv;

namespace {

std::unique_ptr<Tokenizer> characters(const std::string& text) {
  TokenizerConfig config;
  config.type = "char";
  auto tokenizer = Tokenizer::make(config);
  tokenizer->train({text});
  return tokenizer;
}

std::string decoded(const TokenCorpus& corpus, const Tokenizer& tokenizer) {
  std::vector<int> ids(static_cast<std::size_t>(corpus.size()));
  corpus.read(0, corpus.size(), ids.data());
  return tokenizer.decode(ids);
}

std::string joined(const std::vector<std::string_view>& parts) {
  std::string all;
  for (std::string_view part : parts) all += part;
  return all;
}

std::string error_of(const std::string& path) {
  try {
    TextFiles files(path);
  } catch (const Error& e) {
    CHECK(e.fault() == Fault::data);
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a small text is in memory, token by token") {
  const std::string text = "Käse & 茶\nüber";
  const auto tokenizer = characters(text);
  const TokenCorpus corpus({text}, *tokenizer, "");
  CHECK_FALSE(corpus.mapped());
  CHECK(corpus.size() == 13);
  CHECK(corpus.characters() == 13);
  CHECK(corpus.unknown() == 0);
  CHECK(decoded(corpus, *tokenizer) == text);
  CHECK(TokenCorpus({"Käsx"}, *tokenizer, "").unknown() == 1);
  std::int32_t id;
  CHECK_THROWS_WITH_AS(corpus.read(12, 2, &id), doctest::Contains("tokens must be in [0, 13); got [12, 14)"),
                       Error);
}

TEST_CASE("a text is cut between characters, by the share of its characters") {
  const std::string a = "ééé", b = "abcdefg";  // 10 characters
  CHECK(joined(slice({a, b}, 0, 0.9)) == "éééabcdef");
  CHECK(joined(slice({a, b}, 0.9, 1)) == "g");
  CHECK(joined(slice({a, b}, 0.2, 0.5)) == "éab");
  CHECK(joined(slice({a, b}, 0, 1)) == a + b);
}

TEST_CASE("a large text is mapped from a cache that serves the next run, and a damaged one is written anew") {
  TemporaryFolder folder;
  std::string text;
  while (text.size() < (std::size_t{17} << 20))
    text += "the quick brown fox jumps over the lazy dog, ünder 茶\n";
  const auto tokenizer = characters(text.substr(0, 100));
  const std::string cache = folder / "cache";
  std::string file;
  {
    const TokenCorpus corpus({text}, *tokenizer, cache);
    CHECK(corpus.mapped());
    CHECK(corpus.size() == static_cast<std::int64_t>(count_code_points(text)));
    std::vector<std::int32_t> ids(60);
    corpus.read(corpus.size() - 60, 60, ids.data());
    CHECK(ends_with(text, tokenizer->decode(ids)));
    for (auto& entry : fs::directory_iterator(cache))
      if (entry.path().extension() == ".bin") file = entry.path().string();
    CHECK(fs::file_size(file) == static_cast<std::uintmax_t>(corpus.size()) * 2);
  }
  const std::string whole = read_file(file);
  const auto written = fs::last_write_time(file);
  CHECK(TokenCorpus({text}, *tokenizer, cache).mapped());
  CHECK(fs::last_write_time(file) == written);
  for (int damage = 0; damage < 4; damage++) {
    std::string bytes = whole;
    if (damage == 0) bytes[bytes.size() / 3] ^= 1;
    if (damage == 1) bytes.resize(bytes.size() / 2);
    if (damage == 2) bytes = "junk";
    write_file_atomic(file, bytes);
    if (damage == 3) write_file_atomic(file.substr(0, file.size() - 3) + "json", "{\"width\":2}");
    CHECK(TokenCorpus({text}, *tokenizer, cache).mapped());
    CHECK(read_file(file) == whole);
  }
  // Where there can be no cache, the same ids are in memory, and the reason is kept.
  const TokenCorpus corpus({text}, *tokenizer, file + "/none");
  CHECK_FALSE(corpus.mapped());
  CHECK(corpus.size() * 2 == static_cast<std::int64_t>(whole.size()));
  CHECK(corpus.cache_problem() == file + "/none: directory cannot be made; got Not a directory");
}

TEST_CASE("a folder stands for its *.txt files in order; what is no text is refused by name") {
  TemporaryFolder folder;
  write_file_atomic(folder / "b.txt", "two");
  write_file_atomic(folder / "a.txt", "one ");
  write_file_atomic(folder / "c.md", "no");
  CHECK(joined(TextFiles(folder.path).parts()) == "one two");
  write_file_atomic(folder / "empty", "");
  CHECK(error_of(folder / "empty") == folder / "empty: must be a text; got an empty file");
  write_file_atomic(folder / "latin1", "caf\xE9 au lait");
  CHECK(error_of(folder / "latin1") == folder / "latin1: must be UTF-8; got byte 0xe9 at byte 3");
  CHECK(error_of(folder / "none").find("cannot be read; got No such file") != std::string::npos);
  fs::create_directory(folder / "no-texts");
  CHECK(error_of(folder / "no-texts").find("must hold *.txt files; got none") != std::string::npos);
}
