#include "log/number_text.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace qkv;

TEST_CASE("metrics have four decimals as far as that says something") {
  CHECK(metric_text(0.61234) == "0.6123");
  CHECK(metric_text(0) == "0.0000");
  CHECK(metric_text(-12.5) == "-12.5000");
  CHECK(metric_text(512.25) == "512.25");
  CHECK(metric_text(3.2e-5) == "3.20e-05");
  CHECK(metric_text(2.5e7) == "2.50e+07");
  CHECK(metric_text(NAN) == "nan");
  CHECK(metric_text(std::copysign(NAN, -1.0)) == "nan");
  CHECK(short_count(std::copysign(NAN, -1.0)) == "nan");
  CHECK(metric_text(-INFINITY) == "-inf");
}

TEST_CASE("counts get a unit before they get a fifth digit") {
  CHECK(short_count(0) == "0");
  CHECK(short_count(950) == "950");
  CHECK(short_count(291.24) == "291.2");
  CHECK(short_count(999.96) == "1.0k");
  CHECK(short_count(91000) == "91.0k");
  CHECK(short_count(1234567) == "1.2M");
  CHECK(short_count(7e15) == "7000.0T");
  CHECK(grouped(0) == "0");
  CHECK(grouped(-123) == "-123");
  CHECK(grouped(1234567) == "1,234,567");
  CHECK(grouped(-123456) == "-123,456");
}

TEST_CASE("times read like a clock, and unknown ones are a question mark") {
  CHECK(clock_text(7.9) == "00:07");
  CHECK(clock_text(754) == "12:34");
  CHECK(clock_text(3723) == "1:02:03");
  CHECK(clock_text(2 * 86400 + 3723) == "2d 01:02:03");
  CHECK(clock_text(-1) == "?");
  CHECK(clock_text(NAN) == "?");
  CHECK(clock_text(INFINITY) == "?");
}

TEST_CASE("sizes are in binary units") {
  CHECK(byte_text(512) == "512 B");
  CHECK(byte_text(1536) == "1.5 KiB");
  CHECK(byte_text(139.0 * (1 << 30)) == "139.0 GiB");
}
