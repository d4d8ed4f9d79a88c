#include "log/terminal_text.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace qkv;

TEST_CASE("colour codes take no columns and wide characters take two") {
  CHECK(visible_width(styled(Style::red, "loss")) == 4);
  CHECK(visible_width("ключ") == 4);
  CHECK(visible_width("鍵") == 2);
}

TEST_CASE("text is cut between characters and marked") {
  CHECK(fit_width("attention", 20) == "attention");
  CHECK(fit_width("attention", 5) == "atte…");
  CHECK(fit_width("attention", 5, false) == "atte~");
  CHECK(fit_width("внимание", 4) == "вни…");
  CHECK(fit_width("鍵鍵鍵", 4) == "鍵…");
  CHECK(fit_width("x", 0).empty());
  CHECK(fit_width(styled(Style::red, "attention"), 5) == "\033[31matte…\033[0m");
}

TEST_CASE("padding counts columns, not bytes") {
  CHECK(pad_right("ключ", 6) == "ключ  ");
  CHECK(pad_left("鍵", 4) == "  鍵");
  CHECK(pad_left("long", 2) == "long");
}

TEST_CASE("text from data cannot control the terminal") {
  CHECK(harmless("a\033[2Jb\rc\ad", true) == "a?[2Jb?c?d");
  CHECK(harmless("\xC2\x9B"
                 "31m",
                 true) == "?31m");
  CHECK(harmless("\x9B"
                 "31m\xFF",
                 true) == "?31m?");
  CHECK(harmless(styled(Style::green, "ok\n\tyes"), true) == "\033[32mok\n\tyes\033[0m");
  CHECK(harmless(styled(Style::green, "ok"), false) == "ok");
  CHECK(harmless("ключ 鍵 …", false) == "ключ 鍵 …");
}

TEST_CASE("a shade darkens with the value") {
  CHECK(shade(0) == " ");
  CHECK(shade(0.5) == "▒");
  CHECK(shade(1) == "█");
  CHECK(shade(0.5, false) == ":");
  CHECK(shade(NAN) == " ");
}
