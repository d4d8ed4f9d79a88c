#include "data/token_corpus.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <thread>

#include "data/text_files.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"

namespace fs = std::filesystem;
using namespace qkv;
using namespace qkv::test;

namespace {

constexpr std::size_t kLarge = std::size_t{17} << 20;

std::unique_ptr<Tokenizer> trained(const std::string& type, const std::string& text,
                                   const std::vector<std::string>& specials = {}) {
  TokenizerConfig config;
  config.type = type;
  config.specials = specials;
  if (type == "bpe") config.vocab_size = 300;
  auto tokenizer = Tokenizer::make(config);
  tokenizer->train({text});
  return tokenizer;
}

std::vector<int> ids_of(const TokenCorpus& corpus) {
  std::vector<int> ids(static_cast<std::size_t>(corpus.size()));
  corpus.read(0, corpus.size(), ids.data());
  return ids;
}

std::string large_text(int variant = 0) {
  std::string text;
  for (int line = variant; text.size() < kLarge; line++)
    text +=
        fmt::format("{}: the quick brown fox jumps over the lazy dog, ünder 茶 and again, and again\n", line);
  return text;
}

void flip(char& byte, int bits) {
  byte = static_cast<char>(byte ^ bits);
}

// What is told and warned of.
struct Heard {
  TokenCache cache(const std::string& folder) {
    return {folder, [this](const std::string& text) { told.push_back(text); },
            [this](const std::string& text) {
              warned.push_back(text);
            }};
  }
  std::vector<std::string> told, warned;
};

}  // namespace

TEST_CASE("a small text is in memory, token by token") {
  TextFolder folder;
  const std::string text = "Käse & 茶\nüber";
  const auto tokenizer = trained("char", text);
  TextSource source(folder.write("a.txt", text)), other(folder.write("b.txt", "Käsx"));
  const TokenCorpus corpus({source}, *tokenizer);
  CHECK_FALSE(corpus.mapped());
  CHECK(corpus.size() == 13);
  CHECK(corpus.characters() == 13);
  CHECK(corpus.unknown() == 0);
  CHECK(tokenizer->decode(ids_of(corpus)) == text);
  CHECK(TokenCorpus({other}, *tokenizer).unknown() == 1);
  std::int32_t id;
  CHECK_THROWS_WITH_AS(corpus.read(12, 2, &id), doctest::Contains("tokens must be in [0, 13); got [12, 14)"),
                       Error);
}

TEST_CASE("documents are followed by the token that ends a text, else by a line feed") {
  TextFolder folder;
  TextSource source(folder.write("a.jsonl", "{\"text\":\"ab\"}\n{\"text\":\"a<|endoftext|>b\"}\n"));
  const auto with = trained("char", "ab\n", {"<|endoftext|>"}), without = trained("char", "ab\n");
  const int a = with->id("a"), b = with->id("b"), end = with->end_id();
  CHECK(ids_of(TokenCorpus({source}, *with)) == std::vector<int>{a, b, end, a, end, b, end});
  TextSource one(folder.write("b.jsonl", "{\"text\":\"ab\"}\n"));
  CHECK(without->decode(ids_of(TokenCorpus({one}, *without))) == "ab\n");
  CHECK(TokenCorpus({one}, *with).characters() == 2);
}

TEST_CASE("a large text is mapped from a cache that serves the next run; damage is warned of and mended") {
  TextFolder folder;
  const std::string text = large_text(), path = folder.write("a.txt", text), cache = folder / "cache";
  const auto tokenizer = trained("char", text.substr(0, 200));
  Heard heard;
  std::string file;
  {
    TextSource source(path);
    const TokenCorpus corpus({source}, *tokenizer, heard.cache(cache));
    CHECK(corpus.mapped());
    CHECK(corpus.size() == static_cast<std::int64_t>(count_code_points(text)));
    std::vector<std::int32_t> ids(60);
    corpus.read(corpus.size() - 60, 60, ids.data());
    CHECK(ends_with(text, tokenizer->decode(ids)));
    REQUIRE(entries_of(cache).size() == 1);
    file = cache + "/" + entries_of(cache)[0];
    CHECK(heard.told == std::vector<std::string>{path + ": tokens are written to " + file});
  }
  const std::string whole = read_file(file);
  const auto written = fs::last_write_time(file);
  auto again = [&](std::size_t warnings) {
    TextSource source(path);
    heard = {};
    CHECK(TokenCorpus({source}, *tokenizer, heard.cache(cache)).mapped());
    CHECK(heard.warned.size() == warnings);
    CHECK(read_file(file) == whole);
    return source.files()[0].characters;
  };
  CHECK(again(0) == 0);  // the text was not read
  CHECK(fs::last_write_time(file) == written);
  const std::size_t about = whole.rfind("{\"");
  for (int damage = 0; damage < 7; damage++) {
    CAPTURE(damage);
    std::string bytes = whole;
    if (damage == 0) flip(bytes[bytes.size() / 3], 1);
    if (damage == 1) bytes.resize(bytes.size() / 2);
    if (damage == 2) bytes = "junk";
    if (damage == 3) flip(bytes[about + 5], 1);
    if (damage == 4) flip(bytes[bytes.size() - 9], 0x70);  // the size of what it says: petabytes
    if (damage == 5) flip(bytes.back(), 3);                // another version
    if (damage == 6) bytes = std::string(40, '\0') + whole.substr(whole.size() - 16);
    write_file_atomic(file, bytes);
    again(1);
    CHECK(heard.warned[0] == file + ": is damaged; the tokens are written anew");
  }
  // The same text with another time is known by its content; another text of the same size is not.
  write_file_atomic(path, text);
  CHECK(again(0) > 0);
  const std::string other = large_text(1).substr(0, text.size());
  write_file_atomic(path, other);
  heard = {};
  TextSource source(path);
  const TokenCorpus corpus({source}, *tokenizer, heard.cache(cache));
  CHECK(heard.warned ==
        std::vector<std::string>{file + ": the text is another one now; the tokens are written anew"});
  CHECK(read_file(file) != whole);
  CHECK(entries_of(cache).size() == 1);
}

TEST_CASE("where there can be no cache the same ids are in memory, with a warning") {
  TextFolder folder;
  const std::string text = large_text();
  TextSource source(folder.write("a.txt", text));
  const auto tokenizer = trained("char", text.substr(0, 200));
  Heard heard;
  const TokenCorpus mapped({source}, *tokenizer, heard.cache(folder / "cache")),
      memory({source}, *tokenizer, heard.cache(folder / "a.txt/none")), none({source}, *tokenizer);
  CHECK(mapped.mapped());
  CHECK_FALSE(memory.mapped());
  CHECK_FALSE(none.mapped());
  REQUIRE(heard.warned.size() == 1);
  CHECK(starts_with(heard.warned[0],
                    folder / "a.txt/none: directory cannot be made; got Not a directory; the tokens of"));
  CHECK(ids_of(mapped) == ids_of(memory));
  CHECK(ids_of(mapped) == ids_of(none));
}

TEST_CASE("a cache has the same bytes whatever the number of threads") {
  TextFolder folder;
  const std::string text = large_text();
  folder.write("a.txt.gz", gzipped(text.substr(0, text.size() / 2)));
  std::string lines;
  for (std::size_t at = text.size() / 2; at < text.size(); at += 1000)
    lines += "{\"text\":\"document" + std::to_string(at) + "\"}\n";
  folder.write("b.jsonl", lines);
  const std::string path = folder.write("c.manifest", "a.txt.gz\nb.jsonl\na.txt.gz\n");
  const auto tokenizer = trained("bpe", text.substr(0, 20000), {"<eos>"});
  std::string first;
  for (int threads : {1, 2, 3}) {
    set_threads(threads);
    TextSource source(path);
    const std::string cache = folder / ("cache" + std::to_string(threads));
    const TokenCorpus corpus({source, 0, 0.9}, *tokenizer, {cache});
    CHECK(corpus.mapped());
    const std::string bytes = read_file(cache + "/" + entries_of(cache)[0]);
    if (threads == 1) first = bytes;
    CHECK(bytes == first);
  }
  set_threads(0);
}

TEST_CASE("two that write the same cache at once both get it; what a killed one left goes") {
  TextFolder folder;
  const std::string text = large_text(), path = folder.write("a.txt", text), cache = folder / "cache";
  const auto tokenizer = trained("char", text.substr(0, 200));
  make_directories(cache);
  folder.write("cache/tokens-0.bin.tmp.999999999", "half");
  std::vector<std::vector<int>> ids(3);
  std::vector<std::thread> threads;
  for (auto& own : ids)
    threads.emplace_back([&] {
      TextSource source(path);
      own = ids_of(TokenCorpus({source}, *tokenizer, {cache}));
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(ids[0].size() == count_code_points(text));
  CHECK(ids[1] == ids[0]);
  CHECK(ids[2] == ids[0]);
  CHECK(entries_of(cache).size() == 1);
}

TEST_CASE("a disk that is full is one error, and nothing is left on it") {
  TextFolder folder;
  const std::string text = large_text(), cache = folder / "cache";
  TextSource source(folder.write("a.txt", text));
  const auto tokenizer = trained("char", text.substr(0, 200));
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message;
  try {
    TokenCorpus({source}, *tokenizer, {cache});
  } catch (const Error& e) {
    CHECK(e.fault() == Fault::runtime);
    message = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(message.find(
            ".bin: cannot be written; got File too large (data.cache and QKV_CACHE name another folder)") !=
        std::string::npos);
  CHECK(entries_of(cache).empty());
  CHECK(TokenCorpus({source}, *tokenizer, {cache}).mapped());
}

TEST_CASE("a text that is no UTF-8 leaves no cache") {
  TextFolder folder;
  TextSource source(folder.write("a.txt", large_text() + "\xFF"));
  const auto tokenizer = trained("char", "abc");
  CHECK_THROWS_WITH_AS(TokenCorpus({source}, *tokenizer, {folder / "cache"}),
                       doctest::Contains("text must be UTF-8; got byte 0xff"), Error);
  CHECK(entries_of(folder / "cache").empty());
}
