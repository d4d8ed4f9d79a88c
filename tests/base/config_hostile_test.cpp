#include <doctest/doctest.h>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/config.h"
#include "qkv/base/random.h"

using namespace qkv;

namespace {

std::string parse_error(std::string_view text, const std::vector<std::string>& sets = {}) {
  try {
    Section root = Section::parse(text, "a.toml", sets);
    root.section("model").get("x", 1);
    root.finish();
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::usage);
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string repeat(const std::string& part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

}  // namespace

TEST_CASE("syntax errors name their place") {
  CHECK(contains(parse_error("[model]\nx = \n"), "a.toml:2:5: invalid TOML; "));
  CHECK(parse_error("[model]\nx = 1\nx = 2\n") ==
        "a.toml:3:5: invalid TOML; error while parsing key-value pair: cannot redefine existing integer 'x'");
  CHECK(contains(parse_error("x = 0123"), "a.toml:1:"));
}

TEST_CASE("invalid UTF-8 and NUL name their byte") {
  CHECK(parse_error("[model]\nx = \"é\xff\"") ==
        "a.toml:2:7: text must be valid UTF-8 without NUL; got byte 0xff");
  CHECK(parse_error(std::string_view("x = 1\0", 6)) ==
        "a.toml:1:6: text must be valid UTF-8 without NUL; got byte 0x00");
}

TEST_CASE("U+FD3F outside of strings and comments never reaches the TOML parser") {
  const std::string c = "\xef\xb4\xbf";
  const std::string rejected = "U+FD3F must be inside a string or a comment; got it outside";
  CHECK(parse_error(c + " = 1") == "a.toml:1:1: " + rejected);
  CHECK(parse_error("[model]\nx = 1" + c) == "a.toml:2:6: " + rejected);
  CHECK(parse_error("[" + c + "]") == "a.toml:1:2: " + rejected);
  CHECK(parse_error("x = \"\"\"a\"\"\"\"\"" + c) == "a.toml:1:14: " + rejected);
  CHECK(parse_error("x = 'a\\'" + c) == "a.toml:1:9: " + rejected);
  CHECK(parse_error("# " + c + "\n") == "");
  CHECK(Section::parse("x = \"" + c + "\"").get("x", std::string()) == c);
  CHECK(Section::parse("x = '''\n" + c + "'''").get("x", std::string()) == c);
  CHECK(contains(parse_error("", {c + "=1"}), rejected));
  CHECK(contains(parse_error("", {"x=[" + c + "]"}), rejected));
}

TEST_CASE("deep nesting is an error, not a crash") {
  CHECK(contains(parse_error("x = " + repeat("[", 100) + repeat("]", 100)), "nested at most 64 deep"));
  CHECK(contains(parse_error("x = " + repeat("[", 100000)), "a.toml:1:"));
  CHECK(contains(parse_error("x = " + repeat("{a=", 100000)), "a.toml:1:"));
  CHECK(contains(parse_error(repeat("a.", 100000) + "a = 1"), "a key must have at most 17 parts; got more"));
  CHECK(contains(parse_error("[" + repeat("\"a\".", 100000) + "a]"),
                 "a key must have at most 17 parts; got more"));
  CHECK(contains(parse_error("", {repeat("a.", 100000) + "a=1"}),
                 "a key must have at most 17 parts; got more"));
  CHECK(contains(parse_error("", {"a=" + repeat("[", 100000)}), "--set #1: "));
  CHECK(parse_error("[model]\nx = 1 # " + repeat("a.", 50)) == "");
}

TEST_CASE("numbers beyond the range of their type are errors") {
  CHECK(parse_error("[model]\nx = 99999999999999999999") ==
        "a.toml:2:25: invalid TOML; error while parsing decimal integer: '99999999999999999999' is not "
        "representable in 64 bits");
  CHECK(parse_error("[model]\nx = 9999999999") ==
        "a.toml:2:5: model.x must be between -2147483648 and 2147483647; got 9999999999");
  Section root = Section::parse("f = 1e39\nd = inf\nn = -nan\nu = -1\ni = 1e3\nt = 1979-05-27", "a.toml");
  root.get("f", 1.0f);
  root.get("d", 1.0);
  root.get("n", 1.0);
  root.get("u", std::uint64_t{1});
  root.get("i", 1);
  root.get("t", std::string());
  CHECK_THROWS_WITH_AS(
      root.finish(),
      "a.toml:1:5: f must be a finite number; got 1e+39\n"
      "a.toml:2:5: d must be a finite number; got inf\n"
      "a.toml:3:5: n must be a finite number; got nan\n"
      "a.toml:4:5: u must be between 0 and 9223372036854775807; got -1\n"
      "a.toml:5:5: i must be an integer; got 1000.0\n"
      "a.toml:6:5: t must be a string; got 1979-05-27 (in quotes it is one: '\"1979-05-27\"')",
      Error);
}

TEST_CASE("names and values in messages are cut and cannot control the terminal") {
  std::string text = parse_error("\"a\\u001b[31m\" = 1\n[model]\nx = \"" + std::string(5000, 'y') + "\"");
  CHECK(text.size() < 400);
  CHECK_FALSE(contains(text, "\x1b"));
  CHECK(contains(text, "unknown key 'a\\x1b[31m'"));
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "k" + std::to_string(i) + " = 1\n";
  std::string message = parse_error(many);
  CHECK(contains(message, "... and 4950 more problems"));
}

TEST_CASE("a chain of extends that doubles at each step reads each file once") {
  TemporaryFolder folder;
  for (int i = 0; i < 40; ++i) {
    std::string next = std::to_string(i + 1) + ".toml";
    write_file_atomic(folder / (std::to_string(i) + ".toml"),
                      i == 39 ? std::string() : "extends = [\"" + next + "\", \"" + next + "\"]");
  }
  CHECK(Section::load(folder / "0.toml").files().size() == 40);
}

TEST_CASE("damaged configs give errors of usage and nothing else") {
  const std::string good =
      "extends = []\n[model]\nx = 1 # comment\ny = \"text \\\" \\u00e9\"\n[[model.layers]]\nz = { a.b = [1, "
      "2.5, '''q'''] }\n";
  Stream stream(1, "damage");
  const std::string alphabet = "[]{}=\"'.,#\n\\\xef\xb4\xbf\xff 0aeu_-+:T\0";
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (std::uint64_t change = stream.below(6) + 1; change > 0; --change)
      text[stream.below(text.size())] = alphabet[stream.below(alphabet.size())];
    parse_error(text, {text.substr(0, stream.below(40))});
  }
}
