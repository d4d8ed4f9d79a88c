#include "log/bars.h"

#include <doctest/doctest.h>

#include <cmath>

#include "log/terminal_text.h"

using namespace qkv;

TEST_CASE("a bar is filled in eighths, in ASCII in tenths") {
  CHECK(bar(0.45, 10) == "████▌     ");
  CHECK(bar(0.45, 10, false) == "####5     ");
  CHECK(bar(0, 3) == "   ");
  CHECK(bar(1, 3) == "███");
}

TEST_CASE("a bar has its width for any fraction") {
  for (bool unicode : {true, false})
    for (double fraction :
         {-1.0, 0.0, 1e-9, 0.3333, 0.999, 0.9999999, 1.0, 7.0, double(NAN), double(INFINITY)})
      CHECK(visible_width(bar(fraction, 7, unicode)) == 7);
  CHECK(bar(0.5, 0).empty());
  CHECK(bar(0.5, -3).empty());
}

TEST_CASE("a sparkline goes from the smallest to the largest value") {
  CHECK(sparkline({0, 1, 2, 3, 4, 5, 6, 7}, 20) == "▁▂▃▄▅▆▇█");
  CHECK(sparkline({0, 7}, 20, false) == "_#");
  CHECK(sparkline({2, 2, 2}, 20) == "▄▄▄");
  CHECK(sparkline({0, NAN, 1}, 20) == "▁ █");
  CHECK(sparkline({0, 0, 1, 1}, 2) == "▁█");
  CHECK(sparkline({}, 5).empty());
}

TEST_CASE("a shade darkens with the value") {
  CHECK(shade(0) == " ");
  CHECK(shade(0.5) == "▒");
  CHECK(shade(1) == "█");
  CHECK(shade(0.5, false) == ":");
  CHECK(shade(NAN) == " ");
}
