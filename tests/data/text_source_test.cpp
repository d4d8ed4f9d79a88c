#include "data/text_source.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <random>

#include "data/text_files.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;
using namespace qkv;
using namespace qkv::test;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

bool mentions(const std::string& text, const std::string& part) {
  CAPTURE(text);
  CAPTURE(part);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

// Words, lines, blank lines, two- to four-byte characters, from a seed.
std::string made_text(std::size_t bytes, unsigned seed) {
  std::mt19937 dice(seed);
  const char* parts[] = {"a", "word", "é", "茶", "😀", " ", " ", " ", "\n", "\n\n", "longer", ".", "ß"};
  std::string text = "begin";
  while (text.size() < bytes) text += parts[dice() % std::size(parts)];
  return text;
}

// The rule by which a text is cut, on the text as a whole.
std::vector<std::string> pieces_by_rule(std::string_view rest) {
  std::vector<std::string> pieces;
  while (!rest.empty()) {
    std::size_t n = rest.size();
    if (n > kMiB) {
      n = kMiB;
      const std::size_t line = rest.rfind('\n', n - 1), space = rest.rfind(' ', n - 1);
      if (line != std::string_view::npos)
        n = line + 1;
      else if (space != std::string_view::npos)
        n = space + 1;
      while ((rest[n] & 0xC0) == 0x80) n--;
    }
    pieces.emplace_back(rest.substr(0, n));
    rest.remove_prefix(n);
  }
  return pieces;
}

std::vector<std::string> texts(const std::vector<TextPiece>& pieces) {
  std::vector<std::string> result;
  for (const TextPiece& piece : pieces) result.push_back(piece.text);
  return result;
}

std::string repeated(const std::string& text, std::size_t bytes) {
  std::string all;
  while (all.size() < bytes) all += text;
  return all;
}

}  // namespace

TEST_CASE("the pieces of a text are those of the text as a whole, however it is stored") {
  TextFolder folder;
  for (const std::string& text :
       {made_text(3 * kMiB + 77, 1), repeated("é茶 ", 2 * kMiB + 5), repeated("茶é", 2 * kMiB + 3),
        repeated("x", kMiB), repeated("x", kMiB + 1), std::string("é")}) {
    const std::string half = text.substr(0, text.find('n') == std::string::npos ? 0 : text.find('n'));
    for (const std::string& path :
         {folder.write("a.txt", "\xEF\xBB\xBF" + text), folder.write("a.txt.gz", gzipped(text)),
          folder.write("b.txt", gzipped(half) + gzipped(text.substr(half.size())))}) {
      TextSource source(path);
      const std::vector<TextPiece> pieces = pieces_of(source);
      CHECK(texts(pieces) == pieces_by_rule(text));
      CHECK(source.border(1) == static_cast<std::int64_t>(count_code_points(text)));
      CHECK(source.bytes() == text.size());
      for (const TextPiece& piece : pieces) CHECK(piece.last == (&piece == &pieces.back()));
    }
  }
}

TEST_CASE("shares are parts of all characters and together the whole") {
  TextFolder folder;
  folder.write("a.txt", "ééé");
  folder.write("b.txt", "abcdefg");
  CHECK(text_of(folder.path, {}, 0, 0.9) == "éééabcdef");
  CHECK(text_of(folder.path, {}, 0.9, 1) == "g");
  CHECK(text_of(folder.path, {}, 0.2, 0.5) == "éab");
  CHECK(text_of(folder.path, {}, 0, 1) == "éééabcdefg");
  TextFolder large;
  const std::string a = made_text(kMiB + 9999, 2), b = made_text(2 * kMiB, 3);
  large.write("a.txt", a);
  large.write("b.txt", b);
  for (double border : {0.1, 0.5, 0.9}) {
    const std::string first = text_of(large.path, {}, 0, border), second = text_of(large.path, {}, border, 1);
    CHECK(first + second == a + b);
    CHECK(count_code_points(first) ==
          static_cast<std::size_t>(border * static_cast<double>(count_code_points(a + b))));
  }
}

TEST_CASE("each line of JSONL is a document, and so is a file where the config says so") {
  TextFolder folder;
  const std::string lines =
      "{\"text\": \"one\\ntwo\", \"id\": 1}\r\n\n{\"id\":[{}],\"text\":\"\"}\n{\"text\":\"thr\\u00e9\"}";
  const std::string plain = folder.write("a.jsonl", lines);
  CHECK(text_of(plain) == "one\ntwo|thré|");
  CHECK(text_of(folder.write("b.jsonl.gz", gzipped(lines))) == "one\ntwo|thré|");
  CHECK(text_of(folder.write("c", lines), {"jsonl", "text"}) == "one\ntwo|thré|");
  CHECK(text_of(plain, {"text"}) == lines);
  CHECK(text_of(folder.write("d.jsonl", "{\"body\":\"x\"}\n"), {"auto", "body"}) == "x|");
  // The end of a document goes with the character before it.
  CHECK(text_of(plain, {}, 0, 7.5 / 11) == "one\ntwo|");
  CHECK(text_of(plain, {}, 7.5 / 11, 1) == "thré|");
  const std::string e = folder.write("e.txt", "ab"),
                    list = folder.write("f.manifest", "# two files\n\ne.txt\n  a.jsonl \ne.txt\n");
  CHECK(text_of(list) == "abone\ntwo|thré|ab");
  CHECK(text_of(list, {"auto", "text", true}) == "ab|one\ntwo|thré|ab|");
  CHECK(text_of(list, {"auto", "text", true}, 0, 2.5 / 15) == "ab|");
  CHECK(text_of(list, {"auto", "text", true}, 2.5 / 15, 1) == "one\ntwo|thré|ab|");
  CHECK(text_of(list, {"auto", "text", true}, 0, 1.5 / 15) == "a");
  // A piece is cut after a document where it can be.
  std::string many;
  for (int i = 0; i < 3000; i++) many += "{\"text\":\"" + std::string(999, 'x') + "\\n\"}\n";
  TextSource source(folder.write("g.jsonl", many));
  const std::vector<TextPiece> pieces = pieces_of(source);
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[0].text.size() == 1048000);
  CHECK(pieces[0].ends.size() == 1048);
  CHECK(pieces[2].ends.back() == pieces[2].text.size());
  // Documents longer than a piece.
  const std::string word = std::string(2 * kMiB + 3, 'y');
  CHECK(text_of(folder.write("h.jsonl", "{\"text\":\"" + word + "\"}\n{\"text\":\"z\"}\n")) == word + "|z|");
}

TEST_CASE("a folder stands for its *.txt files, and only without them for the others") {
  TextFolder folder;
  folder.write("b.txt", "two");
  folder.write("a.txt", "one ");
  folder.write("c.md", "no");
  folder.write("d.jsonl", "{\"text\":\"no\"}");
  folder.write(".txt", "no");
  CHECK(text_of(folder.path) == "one two");
  fs::remove(folder / "a.txt");
  fs::remove(folder / "b.txt");
  folder.write("e.txt.gz", gzipped("e"));
  CHECK(text_of(folder.path) == "no|e");
  fs::create_directory(folder / "none");
  mentions(text_error(folder / "none"),
           "none: must hold *.txt files, or *.jsonl, *.txt.gz, *.jsonl.gz; got none");
}

TEST_CASE("what cannot be read is refused with its file and line") {
  TextFolder folder;
  auto refused = [&](const std::string& name, const std::string& bytes, const std::string& message) {
    const std::string path = folder.write(name, bytes);
    mentions(text_error(path) + "\n", path + message + "\n");
  };
  refused("a", "", ": must be a text; got an empty file");
  refused("a", "\xEF\xBB\xBF", ": must hold a text; got none");
  refused("a", "one\ncaf\xE9 au lait", ":2: text must be UTF-8; got byte 0xe9 at byte 7 of the text");
  refused("a", "one\ncaf\xE9", ":2: text must be UTF-8; got byte 0xe9 at byte 7 of the text");
  const std::string lines = repeated("line\n", 300000);  // more than one block is
  refused("a", lines + "\xC3", ":60001: text must be UTF-8; got byte 0xc3 at byte 300000 of the text");
  refused("a", lines + "\xC3(\n", ":60001: text must be UTF-8; got byte 0xc3 at byte 300000 of the text");
  refused("a", gzipped(lines + "\xC3"),
          ":60001: text must be UTF-8; got byte 0xc3 at byte 300000 of the text");
  refused("a", "BZh\x80 and so on", ": must not be compressed; got a file of bzip2 (unpack it first)");
  const std::string good = "{\"text\":\"x\"}\n";
  refused("b.jsonl", good + "{\"tex\":\"x\"}", ":2: must have 'text'; got none");
  refused("b.jsonl", good + good + "[\"x\"]", ":3: must have 'text'; got none");
  refused("b.jsonl", good + "{\"text\":7}", ":2: 'text' must be a string; got '7'");
  refused("b.jsonl", good + "{\"text\":\"\xFF\"}",
          ":2: invalid JSON at byte 9 (line 1); text must be valid UTF-8; got another byte");
  refused("b.jsonl", good + "{\"text\":\"x\",\"text\":\"y\"}",
          ":2: invalid JSON at byte 18 (line 1); keys must be unique; got 'text' twice");
  refused("b.jsonl", good + "{\"a\":" + std::string(100000, '['),
          ":2: invalid JSON at byte 69 (line 1); nesting must be at most 64 deep; got more");
  mentions(text_error(folder.write("b.jsonl", good + "{\"text\":\"x\"")),
           "b.jsonl:2: invalid JSON at byte 11");
  mentions(text_error(folder.write("b.jsonl", good + "{\"text\":\"\\ud800\"}")),
           "b.jsonl:2: invalid JSON at byte");
  refused("b.jsonl", good + std::string(17 * kMiB, ' '),
          ":2: a line must have at most 16777216 bytes; got more");
  refused("b.jsonl", good + "{\"text\":\"" + std::string(17 * kMiB, 'x'),
          ":2: a line must have at most 16777216 bytes; got more");
  refused("b.jsonl", "\n \n{\"text\":\"\"}\n", ": must hold a text; got none");
  refused("c.manifest", "\n# nothing\n", ": must name a file; got none");
  refused("c.manifest", "a\nmissing.txt\n",
          ":2: a line must name a file of text; got 'missing.txt', which is no file");
  refused("c.manifest", "\n\nc.manifest\n",
          ":3: a line must name a file of text; got 'c.manifest', which is a manifest");
  refused("c.manifest", ".\n", ":1: a line must name a file of text; got '.', which is no plain file");
  mentions(text_error(folder / "none"), "none: cannot be read; got No such file");
}

TEST_CASE("gzip is whole or refused: members, ends, damage, other things behind it") {
  TextFolder folder;
  const std::string text = made_text(600000, 4), packed = gzipped(text),
                    two = gzipped("one\n") + gzipped("two\n");
  CHECK(text_of(folder.write("a.gz", two)) == "one\ntwo\n");
  CHECK(text_of(folder.write("a.gz", gzipped("") + two + gzipped(""))) == "one\ntwo\n");
  auto error = [&](const std::string& bytes) {
    return text_error(folder.write("a.gz", bytes));
  };
  for (std::size_t size = 2; size < two.size(); size++)
    if (size != two.size() / 2) mentions(error(two.substr(0, size)), "a.gz:");
  mentions(error(packed.substr(0, packed.size() - 1)),
           "a file of gzip must be whole; got its end behind byte " + std::to_string(packed.size() - 1));
  mentions(error(two + "x"),
           fmt::format("a.gz:3: a file of gzip must be whole; got its end behind byte {} of the file",
                       two.size() + 1));
  mentions(error(two + "garbage"),
           "a.gz:3: a file of gzip must be whole; got incorrect header check behind byte");
  mentions(error(two + std::string(512, '\0')),
           "a.gz:3: a file of gzip must be whole; got incorrect header check behind byte");
  mentions(error(packed + std::string(1 << 20, 'x')), "got incorrect header check");
  std::mt19937 dice(5);
  for (int i = 0; i < 300; i++) {
    std::string damaged = packed;
    char& byte = damaged[10 + dice() % (packed.size() - 10)];
    byte = static_cast<char>(byte ^ 1 << dice() % 8);
    CAPTURE(i);
    mentions(error(damaged), "a.gz:");  // often the text is no UTF-8 before gzip finds the damage
  }
}

TEST_CASE("a text that grows while it is read is refused") {
  TextFolder folder;
  const std::string path = folder.write("a.txt", "one");
  TextSource source(path);
  source.scan();
  source.check_unchanged();
  folder.write("a.txt", "two");
  CHECK_THROWS_WITH_AS(source.check_unchanged(),
                       (path + ": must stay as it is while it is read; it was changed").c_str(), Error);
  CHECK(TextSource(path).border(1) == 3);
}

TEST_CASE("lines are whole across pieces, and end with their file or document") {
  TextFolder folder;
  const std::string long_line = std::string(3 * kMiB, 'x');
  folder.write("a.txt", "a\n\n" + long_line + "\nend of file");
  folder.write("b.jsonl", "{\"text\":\"next\\n\"}\n{\"text\":\"one\\ntwo\"}\n{\"text\":\"three\"}\n");
  TextSource source(folder.write("c.manifest", "a.txt\nb.jsonl\n"));
  std::vector<std::string> lines;
  for_lines_of(source, 0, source.border(1), [&](std::string_view line) {
    lines.emplace_back(line);
    return true;
  });
  CHECK(lines == std::vector<std::string>{"a", "", long_line, "end of file", "next", "one", "two", "three"});
}

TEST_CASE("a tokenizer is trained on the first 64 MiB, of a manifest on the same share of each file") {
  TextFolder folder;
  TokenizerConfig config;
  config.type = "char";
  const auto tokenizer = Tokenizer::make(config);
  const std::string a(60 * kMiB, 'a'), b(40 * kMiB, 'b');
  folder.write("a.txt", a);
  folder.write("b.txt", b);
  TextSource all(folder.path);
  std::vector<std::string> sample = tokenizer_sample(all, all.border(1), *tokenizer);
  REQUIRE(sample.size() == 2);
  CHECK(sample[0] == a);
  CHECK(sample[1] == b.substr(0, 4 * kMiB));
  TextSource list(folder.write("c.manifest", "a.txt\nb.txt\n"));
  sample = tokenizer_sample(list, list.border(0.8), *tokenizer);
  REQUIRE(sample.size() == 2);
  CHECK(sample[0].size() == 60 * kMiB * 64 / 100);
  CHECK(sample[1].size() == 20 * kMiB);
  TextSource few(folder.write("d.jsonl", "{\"text\":\"ab\"}\n{\"text\":\"cd\"}\n"));
  CHECK(join(tokenizer_sample(few, 3, *tokenizer), "|") == "ab|c");
}
