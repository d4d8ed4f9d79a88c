// What the normalizers and pre-tokenizers of a tokenizer.json make of texts: the values are those of the
// Python library tokenizers, version 0.23.3.
#include <doctest/doctest.h>

#include "data/pipeline/parts.h"
#include "data/trained_tokenizer.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// The pieces that a text is cut into, with a space between.
std::string pieces(const std::string& text, const Json& pre_tokenizer, const Json& normalizer = nullptr) {
  const PatternTime time(text.size());
  return join(make_pre_tokenizer(pre_tokenizer, "tokenizer: pre_tokenizer")(
                  {make_normalizer(normalizer, "tokenizer: normalizer")(text)}),
              " ");
}

}  // namespace

TEST_CASE("tokenizer.json of another toolkit: words, white space, normal forms and patterns") {
  auto split = [](const Json& normalizer, const Json& pre_tokenizer, const std::string& text) {
    return pieces(text, pre_tokenizer, normalizer);
  };
  const Json none, words = {{"type", "Whitespace"}}, spaces = {{"type", "WhitespaceSplit"}};
  CHECK(split(none, words, "It's 5%, né\u00a0à!") == "It ' s 5 %, né à !");
  CHECK(split(none, spaces, " It's\u00a0 5%,\n") == "It's 5%,");
  CHECK(split({{"type", "NFC"}}, spaces, "e\u0301") == "é");
  CHECK(split({{"type", "NFKC"}}, spaces, "ﬁ①") == "fi1");
  const Json plain = {
      {"type", "Sequence"},
      {"normalizers", {{{"type", "NFD"}}, {{"type", "StripAccents"}}, {{"type", "Lowercase"}}}}};
  CHECK(split(plain, spaces, "ÀÉ Ö") == "ae o");
  const Json replaced = {{"type", "Replace"}, {"pattern", {{"String", "``"}}}, {"content", "\""}};
  CHECK(split(replaced, spaces, "``a``") == "\"a\"");
  const Json regex = {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", "_"}};
  CHECK(split(regex, none, "a   b c") == "a_b c");
  auto cut = [](const char* kind, const char* pattern, const char* behavior, bool invert) {
    return Json{
        {"type", "Split"}, {"pattern", {{kind, pattern}}}, {"behavior", behavior}, {"invert", invert}};
  };
  CHECK(split(none, cut("Regex", "\\d", "Isolated", false), "a12b") == "a 1 2 b");
  CHECK(split(none, cut("Regex", "\\d", "Removed", false), "a12b") == "a b");
  CHECK(split(none, cut("Regex", "\\d", "Removed", true), "a12b") == "1 2");
  CHECK(split(none, cut("String", ".", "Removed", false), "a.b") == "a b");
  CHECK(split(none,
              {{"type", "Sequence"}, {"pretokenizers", {spaces, cut("String", "-", "Isolated", false)}}},
              "a-b c") == "a - b c");
  const Json middle = cut("Regex", "-", "MergedWithPrevious", false);
  CHECK(split(none, middle, "a--b-c") == "a- - b- c");
  CHECK(split(none, cut("Regex", "-", "MergedWithNext", false), "a--b-c") == "a - -b -c");
  CHECK(split(none, cut("Regex", "-", "Contiguous", false), "a--b-c") == "a -- b - c");
  CHECK(split(none, cut("String", ".*", "Isolated", false), "a.*b") == "a .* b");
}

TEST_CASE("tokenizer.json of another toolkit: patterns are those of Oniguruma") {
  const char* const cases[][3] = {{R"(^a)", "a\na", "~\n~"},
                                  {R"(a$)", "a\nba\n", "~\nb~\n"},
                                  {R"($)", "a\n", "a~\n~"},
                                  {R"(a\Z)", "a\na\n", "a\n~\n"},
                                  {R"((?m)a.b)", "a\nb", "~"},
                                  {R"(\w+)", "क्या x² ไทย e\u0301", "~ ~ ~ ~"},
                                  {R"(\W+)", "क्या, x²", "क्या~x²"},
                                  {R"(\bn)", "no one, né", "~o one, ~é"},
                                  {R"(\h+)", "fade x0", "~ x~"},
                                  {R"(\R)", "a\r\nb\nc", "a~b~c"},
                                  {R"(\X)", "e\u0301\U0001f468\u200d\U0001f469", "~~"},
                                  {R"(\v)", "a\u2028b", "a\u2028b"},
                                  {R"(\s+)", "a\u00a0\u2028b", "a~b"},
                                  {R"([[:punct:]]+)", "a$+b-c", "a~b~c"},
                                  {R"(\p{^L}+)", "ab12", "ab~"},
                                  {R"(\p{Han}+)", "ab日本", "ab~"},
                                  {R"([a-z&&[^aeiou]]+)", "straight", "~ai~"},
                                  {R"([a-c[x-z]]+)", "maxbyz", "m~"},
                                  {R"((?i:straSSe))", "STRAßE", "~"},
                                  {R"((?i)[k])", "K\u212ak", "~~~"},
                                  {R"(a{,2}b)", "aab ab b", "~ ~ ~"},
                                  {R"(a{2}+)", "aaaaa", "~a"},
                                  {R"(a*+a)", "aaa", "aaa"},
                                  {R"((?>a+)b)", "aab", "~"},
                                  {R"((?<=a|bc)d)", "ad bcd cd", "a~ bc~ cd"},
                                  {R"((?<!a)b)", "ab cb", "ab c~"},
                                  {R"((?<n>.)\k<n>)", "aabbc", "~~c"},
                                  {R"(x*)", "abc", "~a~b~c~"},
                                  {R"()", "ab", "~a~b~"},
                                  {R"([^\r\n\p{L}\p{N}]?\p{L}+)", "it's, né", "~~,~"},
                                  {R"((?x) a b # c)", "ab", "~"},
                                  {R"([]a]+)", "a]b", "~b"},
                                  {R"(\u0061|\x{62})", "abc", "~~c"},
                                  {R"(\p{L})", "\U00013460\u1c89x", "~~~"},
                                  {R"([一-龥]+)", "日本語ab", "~ab"}};
  for (const auto& [pattern, text, expected] : cases) {
    CAPTURE(pattern);
    const Json replace = {{"type", "Replace"}, {"pattern", {{"Regex", pattern}}}, {"content", "~"}};
    CHECK(pieces(text, nullptr, replace) == expected);
  }
}

TEST_CASE(
    "tokenizer.json of another toolkit: characters at the edges of Unicode, and the space before a text") {
  const Json bert = {{"type", "BertNormalizer"}}, cased = {{"type", "BertNormalizer"}, {"lowercase", false}};
  const Json words = {{"type", "Whitespace"}}, punctuation = {{"type", "BertPreTokenizer"}};
  // Unassigned characters stay; controls, private use and what was a format character in Unicode 8 do not.
  CHECK(pieces("hi \U0001FAE9 there\u0378 \u200d\ue000\u0007|\u08e2|\u0600|", punctuation, bert) ==
        join({"hi", "\U0001FAE9", "there\u0378", "|", "\u08e2", "|", "|"}, " "));
  CHECK(pieces("\U0002b820\U0002b920x", punctuation, cased) == join({"\U0002b820", "\U0002b920", "x"}, " "));
  CHECK(pieces("e\u0301 a\u0898 \u1734", punctuation, bert) == join({"e", "a\u0898"}, " "));
  CHECK(pieces("a\u2e43b\u2e42c", punctuation) == join({"a\u2e43b", "\u2e42", "c"}, " "));
  CHECK(pieces("क्या आपके x²y \u00bd a\u200db \U00013460!", words) ==
        join({"क्या", "आपके", "x", "²", "y", "\u00bd", "a\u200db", "\U00013460", "!"}, " "));
  CHECK(pieces("İ ΟΔΟΣ \u1c89", nullptr, {{"type", "Lowercase"}}) == join({"i\u0307 οδοσ \u1c8a"}, " "));
  CHECK(pieces("\u32ff①", nullptr, {{"type", "NFKC"}}) == join({"\u32ff1"}, " "));  // came with Unicode 12.1
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  CHECK(pieces("\ta", byte_level) == join({"Ġ", "ĉ", "a"}, " "));
  CHECK(pieces(" a", byte_level) == join({"Ġa"}, " "));
  CHECK(pieces("it's  1½\u0301 \n\n x'lln", {{"type", "ByteLevel"}, {"add_prefix_space", false}}) ==
        join({"it", "'s", "Ġ", "Ġ1Â½", "Ìģ", "ĠĊĊ", "Ġx", "'ll", "n"}, " "));
}

TEST_CASE(
    "tokenizer.json of another toolkit: no file and no text takes more than its share of time or memory") {
  auto refusal = [](const Json& normalizer, const Json& pre_tokenizer, const std::string& text) {
    try {
      (void)pieces(text, pre_tokenizer, normalizer);
    } catch (const Error& error) {
      CHECK(error.fault() == Fault::data);
      return std::string(error.what());
    }
    return std::string("an answer");
  };
  auto cut = [](const char* pattern) {
    return Json{
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  const std::string a(100000, 'a');
  const Json twice = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", false}};
  CHECK(refusal({{"type", "Sequence"}, {"normalizers", std::vector<Json>(40, twice)}}, nullptr, a)
            .find("tokenizer: normalizer: a text may grow 16 times") == 0);
  CHECK(refusal(nullptr, {{"type", "Sequence"}, {"pretokenizers", std::vector<Json>(40, bytes)}}, "é" + a)
            .find("tokenizer: pre_tokenizer: a text may grow 16 times") == 0);
  for (const char* pattern : {".*x|.", "(?:a|a|b)+(?=d)", "(?>[^y]*)\\d", "(a|aa)+$"})
    CHECK(refusal(nullptr, cut(pattern), a + "c")
              .find("tokenizer: pre_tokenizer: the expression must process") == 0);
  std::string many;  // pieces that share the time of their text
  for (int i = 0; i < 2000; ++i) many += std::string(40, 'a') + "c ";
  const Json each = {{"type", "Sequence"}, {"pretokenizers", {cut(" "), cut("(a|aa)+$|(a|aa)+b|.")}}};
  CHECK(refusal(nullptr, each, many).find("the expression must process") != std::string::npos);
  const Json forms = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFKD"}}, {{"type", "NFC"}}}}};
  std::string marks = "a";
  for (int i = 0; i < 20000; ++i) marks += "\u0301\u0323";
  CHECK(pieces(marks, nullptr, forms).substr(0, 5) == "\u1ea1\u0323");  // in order, quickly
}
