#include "data/wsd_corpus.h"

#include <doctest/doctest.h>

#include <functional>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/lines.h"
#include "qkv/base/random.h"

using namespace qkv;

namespace {

using Strings = std::vector<std::string>;

// The message of a data error without the path of the folder in front.
std::string message(const TemporaryFolder& folder, const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::data);
    std::string text = error.what();
    for (std::size_t at; (at = text.find(folder.path + "/")) != std::string::npos;)
      text.erase(at, folder.path.size() + 1);
    return text;
  }
  return "accepted";
}

std::string tsv_message(const std::string& text, const Strings& labels = {}) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.tsv", text);
  return message(folder, [&] { (void)read_wsd(folder / "a.tsv", {labels, "train"}); });
}

std::string sentence_message(const std::string& text) {
  TemporaryFolder folder;
  return message(folder, [&] { (void)parse_wsd_sentence(text, "a"); });
}

struct CoarseFolder {
  TemporaryFolder folder;
  std::string path = folder / "bank";
  CoarseFolder() {
    make_directories(path);
    write("classes_map.txt", R"({"1": "shore", "0": "money"})");
    write("train.data.txt", "1\tthe bank opens .\n0\tbanks of the river");
    write("train.gold.txt", "0\n1\n");
  }
  void write(const std::string& name, const std::string& text) { write_file_atomic(path + "/" + name, text); }
  std::string message() const {
    return ::message(folder, [&] { (void)read_wsd(path); });
  }
};

}  // namespace

TEST_CASE("wsd tsv: labels, natural text with one bracketed word, empty lines and CR LF") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.tsv",
                    "\xEF\xBB\xBF\r\nmoney\tShe can't open an account at the [bank], can she?\r\n\n"
                    "earth\t[Banks] of \u201cfog\u201d.");
  const WsdCorpus corpus = read_wsd(folder / "a.tsv");
  CHECK(corpus.labels == Strings{"earth", "money"});
  REQUIRE(corpus.examples.size() == 2);
  const WsdExample& first = corpus.examples[0];
  CHECK(first.words ==
        Strings{"She", "can't", "open", "an", "account", "at", "the", "bank", ",", "can", "she", "?"});
  CHECK(first.target == 7);
  CHECK(first.label == 1);
  CHECK(first.id == "a.tsv:2");
  CHECK(corpus.examples[1].words == Strings{"Banks", "of", "\u201c", "fog", "\u201d", "."});
  CHECK(corpus.examples[1].target == 0);
  CHECK(corpus.examples[1].id == "a.tsv:4");
  const WsdCorpus known = read_wsd(folder / "a.tsv", {{"turn", "money", "earth"}, "train"});
  CHECK(known.labels == Strings{"turn", "money", "earth"});
  CHECK(known.examples[1].label == 2);
}

TEST_CASE("wsd tsv: a label may begin with #, and there are no comments") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.tsv", "#ai\tthe [bank] learns .\nmoney\ta [bank]\n");
  CHECK(read_wsd(folder / "a.tsv").labels == Strings{"#ai", "money"});
  CHECK(tsv_message("# a comment\nmoney\ta [bank]\n") ==
        "a.tsv:1: a line must be label<TAB>sentence; got 0 tabs");
}

TEST_CASE("wsd tsv: errors name file, line, rule and what was found") {
  CHECK(tsv_message("") == "a.tsv: must have at least one line; got an empty file");
  CHECK(tsv_message(" \n\n") == "a.tsv: must have at least one sentence; got only empty lines");
  CHECK(tsv_message("\nno tab [x]") == "a.tsv:2: a line must be label<TAB>sentence; got 0 tabs");
  CHECK(tsv_message("a\t[x]\ty") == "a.tsv:1: a line must be label<TAB>sentence; got 2 tabs");
  CHECK(tsv_message("\t[x]") == "a.tsv:1: label must be a name without white space around it; got ''");
  CHECK(tsv_message("a \t[x]") == "a.tsv:1: label must be a name without white space around it; got 'a '");
  CHECK(tsv_message("mony\t[x]", {"money", "river"}) ==
        "a.tsv:1: label must be known; got 'mony' (did you mean 'money'?)");
  CHECK(tsv_message("a\tx") == "a.tsv:1: a sentence must have one [target]; got none in 'x'");
  CHECK(tsv_message("a\tb \xff [x]") == "a.tsv:1: text must be UTF-8; got byte 0xff at byte 4 of the file");
  CHECK(tsv_message("a\t[x]\na\t[x]\xe2\x82") ==
        "a.tsv:2: text must be UTF-8; got byte 0xe2 at byte 11 of the file");
  CHECK(tsv_message(std::string("a\t[x]\n\0", 7)) ==
        "a.tsv:2: text must not contain NUL; got one at byte 6 of the file");
  CHECK(tsv_message("a\t[x]" + std::string(70000, 'y')) ==
        "a.tsv:1: a line must have at most 65536 bytes; got 70005");
  TemporaryFolder folder;
  CHECK(message(folder, [&] { (void)read_wsd(folder / "none"); }) ==
        "none: cannot be read; got No such file or directory");
}

TEST_CASE("wsd sentence: exactly one bracketed whole word") {
  const WsdExample example = parse_wsd_sentence("We [bank]'s on it.");
  CHECK(example.words == Strings{"We", "bank", "'s", "on", "it", "."});
  CHECK(example.target == 1);
  CHECK(parse_wsd_sentence("([bank])").target == 1);
  CHECK(sentence_message("[a] and [b]") == "a: a sentence must have one [target]; got 2 in '[a] and [b]'");
  CHECK(sentence_message("x [a") ==
        "a: a sentence must have one [target]; got an unmatched bracket in 'x [a'");
  CHECK(sentence_message("x ]a[") ==
        "a: a sentence must have one [target]; got an unmatched bracket in 'x ]a['");
  CHECK(sentence_message("[a]]") ==
        "a: a sentence must have one [target]; got an unmatched bracket in '[a]]'");
  CHECK(sentence_message("x []") == "a: target must be one whole word; got '' in 'x []'");
  CHECK(sentence_message("[river bank]") ==
        "a: target must be one whole word; got 'river bank' in '[river bank]'");
  CHECK(sentence_message("em[bank]ment") == "a: target must be one whole word; got 'bank' in 'em[bank]ment'");
  CHECK(sentence_message("[ bank ]") == "a: target must be one whole word; got ' bank ' in '[ bank ]'");
  CHECK(sentence_message("[x] \xff") == "split: text must be UTF-8; got byte 0xff at byte 2");
}

TEST_CASE("wsd folder: data, labels and class names in the layout of CoarseWSD-20") {
  CoarseFolder coarse;
  const WsdCorpus corpus = read_wsd(coarse.path);
  CHECK(corpus.labels == Strings{"money", "shore"});
  REQUIRE(corpus.examples.size() == 2);
  CHECK(corpus.examples[0].words == Strings{"the", "bank", "opens", "."});
  CHECK(corpus.examples[0].target == 1);
  CHECK(corpus.examples[1].label == 1);
  CHECK(corpus.examples[1].id == "bank/train.data.txt:2");
  CHECK(read_wsd(coarse.path + "/", {{"shore", "money"}, "train"}).examples[1].label == 0);
  CHECK(read_wsd(coarse.path + "/").examples[1].id == "bank/train.data.txt:2");
  coarse.write("train.data.txt", "3\ta  b bank\n0\tx");  // positions count every space
  CHECK(read_wsd(coarse.path).examples[0].target == 2);
}

TEST_CASE("wsd folder: errors name file, line, rule and what was found") {
  auto with = [](const std::string& name, const std::string& text) {
    CoarseFolder coarse;
    coarse.write(name, text);
    return coarse.message();
  };
  CHECK(with("train.gold.txt", "0\n") ==
        "bank/train.gold.txt: must have one label for each of the 2 lines of train.data.txt; got 1");
  CHECK(with("train.gold.txt", "0\n7") ==
        "bank/train.gold.txt:2: label must be in classes_map.txt; got '7' (known: 0, 1)");
  CHECK(with("train.gold.txt", "0\n-1")
            .find("bank/train.gold.txt:2: label must be in classes_map.txt; got '-1'") == 0);
  CHECK(with("train.gold.txt", "") == "bank/train.gold.txt: must have at least one line; got an empty file");
  CHECK(with("train.data.txt", "0\ta b\n2\ta b") ==
        "bank/train.data.txt:2: target position must be that of a token in [0, 2); got 2");
  CHECK(with("train.data.txt", "0\ta b\n1\ta  b") ==
        "bank/train.data.txt:2: target position must be that of a token in [0, 3); got 1");
  CHECK(with("train.data.txt", "0\ta b\nx\ta b") ==
        "bank/train.data.txt:2: target position must be an unsigned integer; got 'x'");
  CHECK(with("train.data.txt", "0\ta\n99999999999999999999\ta") ==
        "bank/train.data.txt:2: target position must be an unsigned integer; got '99999999999999999999'");
  CHECK(with("train.data.txt", "0\ta\n0 a") ==
        "bank/train.data.txt:2: a line must be position<TAB>tokens; got 0 tabs");
  CHECK(with("train.data.txt", "0\ta\n0\t") ==
        "bank/train.data.txt:2: target position must be that of a token in [0, 1); got 0");
  CHECK(with("classes_map.txt", "[]") ==
        "bank/classes_map.txt: must be a JSON object from label to name; got '[]'");
  CHECK(with("classes_map.txt", R"({"x": "a"})") ==
        "bank/classes_map.txt: labels must be unsigned integers; got 'x'");
  CHECK(with("classes_map.txt", R"({"0": 1})") == "bank/classes_map.txt: names must be strings; got '1'");
  CHECK(with("classes_map.txt", R"({"0": "a", "1": "a"})") ==
        "bank/classes_map.txt: labels and names must be unique; got 1: 'a' twice");
  CHECK(with("classes_map.txt", "{").find("bank/classes_map.txt: invalid JSON at byte ") == 0);
  CoarseFolder coarse;
  CHECK(message(coarse.folder, [&] {
          (void)read_wsd(coarse.path, {{}, "test"});
        }) == "bank/test.data.txt: cannot be read; got No such file or directory");
  CHECK(message(coarse.folder, [&] {
          (void)read_wsd(coarse.path, {{"money"}, "train"});
        }) == "bank/train.gold.txt:2: label must be known; got 'shore' (known: money)");
}

TEST_CASE("wsd readers: random damage never does worse than a data error") {
  Stream stream(4, "damage");
  const std::string good = "money\tShe went to the [bank] at 9 a.m.\n# c\nriver\tThe [bank]'s \u00e9dge.\n";
  CoarseFolder coarse;
  for (int trial = 0; trial < 400; ++trial) {
    std::string bad = good;
    for (int i = 0; i < 3; ++i) bad[stream.below(bad.size())] = static_cast<char>(stream.below(256));
    tsv_message(bad);
    std::string noise(stream.below(60), '\0');
    for (char& c : noise) c = "\t\n []01a\xc3\xa9"[stream.below(10)];
    tsv_message(noise);
    sentence_message(noise);
    coarse.write(stream.bernoulli(0.5) ? "train.data.txt" : "train.gold.txt", noise);
    coarse.message();
  }
}

TEST_CASE("read_lines: keeps empty lines, so that numbers are those of the file") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "one\n\nthree\r\n");
  CHECK(read_lines(folder / "a") == Strings{"one", "", "three"});
}
