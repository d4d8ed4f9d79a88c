#include "data/split.h"

#include <doctest/doctest.h>

#include "qkv/base/error.h"
#include "qkv/base/random.h"
#include "qkv/base/text.h"

using namespace qkv;

namespace {

std::string cut(std::string_view text) {
  std::string result;
  for (auto token : split_text(text)) result += (result.empty() ? "" : " ") + std::string(token);
  return result;
}

}  // namespace

TEST_CASE("split: words, punctuation and contractions") {
  CHECK(cut("She can't open the account, can she?") == "She can't open the account , can she ?");
  CHECK(cut("The bank's doors; the banks' doors.") == "The bank 's doors ; the banks ' doors .");
  CHECK(cut("We'll see O'Brien at 5 o'clock") == "We'll see O'Brien at 5 o'clock");
  CHECK(cut("it\u2019s d\u2019Artagnan") == "it \u2019s d\u2019Artagnan");
  CHECK(cut("'quoted' 'tis rock'n'roll's") == "' quoted ' ' tis rock'n'roll 's");
  CHECK(cut("long-term \"loan\" (5%) end.\n") == "long - term \" loan \" ( 5 % ) end .");
  CHECK(cut("wait... what?! no!! yes--no") == "wait ... what ? ! no !! yes -- no");
  CHECK(cut("") == "");
  CHECK(cut(" \t\n ") == "");
}

TEST_CASE("split: numbers and abbreviations stay whole") {
  CHECK(cut("1,000.50 pounds, 3.14 or 3. 3rd 50p v1.5") == "1,000.50 pounds , 3.14 or 3 . 3rd 50p v1 . 5");
  CHECK(cut("at 9 a.m. in the U.S. by A. Smith") == "at 9 a.m. in the U.S. by A . Smith");
  CHECK(cut("\u00a35 and \u20ac3.50") == "\u00a3 5 and \u20ac 3.50");
}

TEST_CASE("split: letters beyond ASCII belong to words; foreign spaces and marks separate") {
  CHECK(cut("größe naïve Банк") == "größe naïve Банк");
  CHECK(cut("a\u00a0b\u2003c\u3000d") == "a b c d");
  CHECK(cut("\u201cquote\u201d \u2014 dash\u2026") == "\u201c quote \u201d \u2014 dash \u2026");
  CHECK(cut("\ufeffbank \U0001f600\U0001f600!") == "bank \U0001f600\U0001f600 !");
}

TEST_CASE("split: text that is not UTF-8 is a data error") {
  CHECK_THROWS_WITH((void)split_text("ab\xff"), "split: text must be UTF-8; got byte 0xff at byte 2");
}

TEST_CASE("split: tokens cover all but white space, and cutting them again changes nothing") {
  const std::vector<std::string> pieces{"a",  "B",      "s",          "'s", "'",    "\u2019", ".", ",",
                                        "1",  "23",     " ",          "-",  "é",    "!",      "(", "S",
                                        "\n", "\u00a0", "\U0001f600", "\1", "x.y.", "can't"};
  Stream stream(3, "split");
  for (int trial = 0; trial < 5000; ++trial) {
    std::string text;
    for (auto n = stream.below(14); n > 0; --n) text += pieces[stream.below(pieces.size())];
    CAPTURE(text);
    const std::string once = cut(text);
    CHECK(cut(once) == once);
    std::size_t covered = 0;
    for (auto token : split_text(text)) {
      CHECK(!token.empty());
      CHECK(is_utf8(token));
      covered += token.size();
    }
    for (const auto& c : split_code_points(text))
      covered += c == " " || c == "\n" || c == "\u00a0" ? c.size() : 0;
    CHECK(covered == text.size());
  }
}
