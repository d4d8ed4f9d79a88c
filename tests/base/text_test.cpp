#include "qkv/base/text.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

using namespace qkv;

TEST_CASE("edit_distance counts insertions, deletions, replacements and swaps of neighbours") {
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("d_modle", "d_model") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ca", "abc") == 3);
  CHECK(edit_distance("same", "same") == 0);
}

TEST_CASE("suggest names the nearest candidate, else the few known ones, else nothing") {
  CHECK(suggest("heds", {"heads", "layers"}) == " (did you mean 'heads'?)");
  CHECK(suggest("N_Head", {"n_head"}) == " (did you mean 'n_head'?)");
  CHECK(suggest("z", {"lr", "x"}) == " (known: lr, x)");
  CHECK(suggest("anything", {}) == "");
  std::vector<std::string> many;
  for (int i = 0; i < 20; ++i) many.push_back("name_number_" + std::to_string(i));
  CHECK(suggest("q", many) == "");
  CHECK(suggest(std::string(1 << 20, 'a'), {"lr"}) == " (known: lr)");
}

TEST_CASE("in_quotes makes any bytes safe to print") {
  CHECK(in_quotes("abc") == "'abc'");
  CHECK(in_quotes("a\x1b[31m\n\xff") == "'a\\x1b[31m\\x0a\\xff'");
  CHECK(in_quotes("größe") == "'größe'");
  CHECK(in_quotes(std::string(100, 'x'), 5) == "'xxxxx...'");
}

TEST_CASE(
    "UTF-8 validation names the first bad byte and rejects overlong forms, surrogates and cut sequences") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("aé漢😀"));
  CHECK(is_utf8(std::string_view("\0a", 2)));
  CHECK(first_invalid_utf8("ab\xff") == 2);
  CHECK(first_invalid_utf8("\xc0\x80") == 0);
  CHECK(first_invalid_utf8("\xe0\x80\x80") == 0);
  CHECK(first_invalid_utf8("a\xed\xa0\x80") == 1);
  CHECK(first_invalid_utf8("\xf4\x90\x80\x80") == 0);
  CHECK(first_invalid_utf8("é\xe6\xbc") == 2);
  CHECK(first_invalid_utf8("\x80") == 0);
}

TEST_CASE("code points survive a round trip through UTF-8") {
  std::string text;
  std::vector<char32_t> wanted;
  for (char32_t c = 0; c <= 0x10ffff; c += 37) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    wanted.push_back(c);
    append_utf8(text, c);
  }
  CHECK(is_utf8(text));
  CHECK(code_points(text) == wanted);
  CHECK(count_code_points(text) == wanted.size());
  CHECK(split_code_points("aé漢").at(1) == "é");
  CHECK(code_points("\xff"
                    "a") == std::vector<char32_t>{0xfffd, 'a'});
}

TEST_CASE("display_width counts terminal columns") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("漢字") == 4);
  CHECK(display_width("e\xcc\x81") == 1);
  CHECK(display_width("😀") == 2);
  CHECK(display_width("größe") == 5);
  CHECK(display_width("\x1b\n") == 0);
}

TEST_CASE("split, trim and join cut and mend text") {
  CHECK(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(split_words("  a\tb \n") == std::vector<std::string>{"a", "b"});
  CHECK(split_words(" ").empty());
  CHECK(trim(" \t a b\r\n") == "a b");
  CHECK(trim("  ") == "");
  CHECK(join({"a", "b"}, ", ") == "a, b");
  CHECK(join({}, ", ") == "");
  CHECK(lower_ascii("ABC-É") == "abc-É");
  CHECK(starts_with("abc", "ab"));
  CHECK_FALSE(starts_with("a", "ab"));
  CHECK(ends_with("abc", "bc"));
  CHECK_FALSE(ends_with("c", "bc"));
}

TEST_CASE("shortest reads back to the same bits and stays a float") {
  CHECK(shortest(0.1f) == "0.1");
  CHECK(shortest(0.1) == "0.1");
  CHECK(shortest(1.0f) == "1.0");
  CHECK(shortest(-0.0f) == "-0.0");
  CHECK(shortest(1e30) == "1e+30");
  CHECK(shortest(3e-5f) == "3e-05");
  CHECK(shortest(std::nanf("")) == "nan");
  CHECK(shortest(-std::numeric_limits<double>::infinity()) == "-inf");
  std::uint32_t bits = 1;
  for (int i = 0; i < 20000; ++i) {
    bits = bits * 1664525u + 1013904223u;
    float value;
    std::memcpy(&value, &bits, 4);
    if (!std::isfinite(value)) continue;
    CHECK(std::strtof(shortest(value).c_str(), nullptr) == value);
  }
}
