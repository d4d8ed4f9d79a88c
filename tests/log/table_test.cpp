#include "log/table.h"

#include <doctest/doctest.h>

#include "qkv/base/error.h"

using namespace qkv;

TEST_CASE("a table aligns numbers to the right and text to the left") {
  Table table({"class", "f1", "support"});
  table.row({"bass (fish)", "0.9320", "52"}).row({"鍵", "1", "1,143"});
  table.rule();
  table.row({"macro", "-"});
  CHECK(table.str(true) ==
        "class            f1  support\n"
        "────────────────────────────\n"
        "bass (fish)  0.9320       52\n"
        "鍵                1    1,143\n"
        "────────────────────────────\n"
        "macro             -\n");
}

TEST_CASE("a table in ASCII has no other characters") {
  CHECK(Table({"op", "error"}, "gradcheck").row({"tanh", "1.2e-09"}).str(false) ==
        "gradcheck\n"
        "op      error\n"
        "-------------\n"
        "tanh  1.2e-09\n");
}

TEST_CASE("a column is text as soon as one cell is") {
  CHECK(Table({"x"}).row({"12"}).row({"n/a"}).str(false) == "x\n---\n12\nn/a\n");
  CHECK(Table({"size"}).row({"9.5k"}).row({"12.5%"}).str(false) == " size\n-----\n 9.5k\n12.5%\n");
}

TEST_CASE("long cells are cut and extra cells are an error") {
  CHECK(Table({"text"}).row({"attention"}).str(true, 6) == "text\n──────\natten…\n");
  CHECK_THROWS_WITH_AS(Table({"a"}).row({"1", "2"}), "table: a row has at most 1 cells; got 2", Error);
  CHECK_THROWS_WITH_AS(Table({}), "table: at least one column is needed; got none", Error);
}
