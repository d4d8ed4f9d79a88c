#include "data/pair_corpus.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

using namespace qkv;

namespace {

struct Files {
  std::string write(const std::string& name, const std::string& text) const {
    write_file_atomic(folder / name, text);
    return folder / name;
  }
  // The message of the data error without the folder.
  template <class F>
  std::string error(F read) const {
    try {
      read();
    } catch (const Error& e) {
      CHECK(e.fault() == Fault::data);
      const std::string message = e.what(), prefix = (folder / "");
      std::string result;
      for (std::size_t at = 0, found; at < message.size(); at = found + prefix.size()) {
        found = message.find(prefix, at);
        if (found == std::string::npos) return result + message.substr(at);
        result += message.substr(at, found - at);
      }
      return result;
    }
    return "no error";
  }
  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("TSV pairs: empty lines are skipped, a hash may begin a text, and there are no comments") {
  Files files;
  const auto pairs = read_pair_tsv(files.write("a.tsv", "\n\nein Hund\ta dog\r\n#1\tone\n"));
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[0].source == "ein Hund");
  CHECK(pairs[0].target == "a dog");
  CHECK(pairs[1].source == "#1");
  auto error = [&](const std::string& text) {
    return files.error([&] { read_pair_tsv(files.write("b.tsv", text)); });
  };
  CHECK(error("a\tb\nno tab\n") == "b.tsv:2: a line must be source<TAB>target; got 0 tabs in 'no tab'");
  CHECK(error("a\tb\tc\n") == "b.tsv:1: a line must be source<TAB>target; got 2 tabs in 'a\\x09b\\x09c'");
  CHECK(error("a\tb\n \tb\n") == "b.tsv:2: source must not be empty; got ' ' / 'b'");
  CHECK(error("a\t\n") == "b.tsv:1: target must not be empty; got 'a' / ''");
  CHECK(error("\n") == "b.tsv: must hold a pair; got none");
  CHECK(error("# a\n") == "b.tsv:1: a line must be source<TAB>target; got 0 tabs in '# a'");
  CHECK(error("a\tb\n\xff\tb\n") == "b.tsv:2: text must be UTF-8; got byte 0xff at byte 4 of the file");
}

TEST_CASE("aligned files: line by line, of one length, nothing empty") {
  Files files;
  const std::string de = files.write("x.de", "ein Hund\neine Katze\n");
  const auto pairs = read_aligned(de, files.write("x.en", "a dog\na cat\n"));
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[1].source == "eine Katze");
  CHECK(pairs[1].target == "a cat");
  auto error = [&](const std::string& text) {
    return files.error([&] { read_aligned(de, files.write("y.en", text)); });
  };
  CHECK(error("a dog\n") == "y.en: must have as many lines as x.de, 2; got 1");
  CHECK(error("a dog\n\n") == "y.en:2: target must not be empty; got 'eine Katze' / ''");
}

TEST_CASE("SCAN's lines are read, others are reported") {
  Files files;
  const auto pairs = read_scan(files.write("s.txt", "IN: jump twice OUT: I_JUMP I_JUMP\n"));
  REQUIRE(pairs.size() == 1);
  CHECK(pairs[0].source == "jump twice");
  CHECK(pairs[0].target == "I_JUMP I_JUMP");
  for (const char* bad : {"jump OUT: I_JUMP", "IN: jump", "IN: jump OUT: a OUT: b", "IN: OUT: a"})
    CHECK(files.error([&] { read_scan(files.write("t.txt", std::string(bad) + "\n")); }) ==
          "t.txt:1: a line must be 'IN: .. OUT: ..'; got '" + std::string(bad) + "'");
}

TEST_CASE(
    "synthetic pairs are reversed, of all lengths, the same when drawn again, and no split shares a source") {
  MadeUpPairs options;
  std::set<std::string> seen[3];
  std::set<std::size_t> lengths;
  for (int part : {0, 1, 2})
    for (std::int64_t i = 0; i < 400; i++) {
      const TextPair pair = made_up_pair(options, 7, part, i);
      std::vector<std::string> words = split(pair.source, ' ');
      seen[part].insert(pair.source);
      lengths.insert(words.size());
      std::reverse(words.begin(), words.end());
      REQUIRE(join(words, " ") == pair.target);
      REQUIRE(made_up_pair(options, 7, part, i).source == pair.source);
    }
  CHECK(*lengths.begin() == 1);
  CHECK(*lengths.rbegin() == 25);
  CHECK(lengths.size() == 25);
  for (const std::string& source : seen[0]) CHECK(seen[1].count(source) + seen[2].count(source) == 0);
  for (const std::string& source : seen[1]) CHECK(seen[2].count(source) == 0);
  CHECK(seen[0].size() > 350);
  CHECK(made_up_pair(options, 8, 0, 0).source != made_up_pair(options, 7, 0, 0).source);
}

TEST_CASE("synthetic targets may be random, and sizes that leave a split empty are reported") {
  const MadeUpPairs random{false, 1000, 31, 31};
  const TextPair pair = made_up_pair(random, 1, 0, 0);
  CHECK(split(pair.source, ' ').size() == 31);
  CHECK(split(pair.target, ' ').size() == 31);
  CHECK(pair.source != pair.target);
  CHECK(made_up_symbols(26).back() == "z");
  CHECK(made_up_symbols(27).back() == "w26");
  const MadeUpPairs few{true, 1, 1, 1};
  int refused = 0;
  for (int part : {0, 1, 2}) try {
      made_up_pair(few, 1, part, 0);
    } catch (const Error& e) {
      refused += e.fault() == Fault::usage;
    }
  CHECK(refused == 2);
}
