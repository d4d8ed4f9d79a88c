#include "log/plot.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/text.h"

using namespace qkv;

namespace {

PlotOptions plain(int width = 40, int height = 12) {
  PlotOptions o;
  o.width = width, o.height = height, o.unicode = false;
  return o;
}

}  // namespace

TEST_CASE("ticks are round numbers within the range") {
  CHECK(round_ticks(0, 1, 5) == std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1});
  CHECK(round_ticks(-3, 12, 3) == std::vector<double>{0, 5, 10});
  CHECK(round_ticks(1, 1, 3).empty());
  CHECK(round_ticks(0, INFINITY, 3).empty());
}

TEST_CASE(
    "a falling curve goes from the upper left to the lower right, within the width, with axes and legend") {
  const Curve curve{"train", {0, 50, 100}, {2.0, 1.0, 0.0}};
  PlotOptions o = plain();
  o.title = "loss";
  const std::vector<std::string> lines = split(plot({curve}, o), '\n');
  CHECK(lines[0] == "loss");
  for (const std::string& line : lines) CHECK(line.size() <= 40);
  CHECK(lines[1].find("2+**") == 0);  // the first row: the largest value, at the left
  CHECK(lines[8].back() == '*');      // the last row: the smallest, at the right
  CHECK(lines[8].find('*') > 30);
  CHECK(lines[10].find("0") != std::string::npos);  // numbers of the x axis
  CHECK(lines[10].find("step") != std::string::npos);
  CHECK(lines[11].find("* train") != std::string::npos);
}

TEST_CASE("the numbers of an axis have one form, and a long legend goes on in a new line") {
  const std::string small = plot({{"a", {0, 1}, {0, 1e-3}}}, plain());
  for (const char* tick : {"0.0010", "0.0005"}) CHECK(small.find(tick) != std::string::npos);
  CHECK(small.find("e-") == std::string::npos);
  const std::string tiny = plot({{"a", {0, 1}, {0, 1e-5}}}, plain());
  CHECK(tiny.find("1.0e-05") != std::string::npos);
  CHECK(tiny.find("0.0000") == std::string::npos);
  std::vector<Curve> nine;
  for (int i = 1; i <= 9; i++)
    nine.push_back({"a-long-name/seed-" + std::to_string(i), {0, 1}, {0, double(i)}});
  const std::string text = plot(nine, plain());
  for (const Curve& curve : nine) CHECK(text.find(curve.name) != std::string::npos);
  for (const std::string& line : split(text, '\n'))
    CHECK(line.size() <= static_cast<std::size_t>(plain().width));
}

TEST_CASE("a single spike between many points is drawn") {
  Curve curve{"a", {}, {}};
  for (int i = 0; i < 10000; i++) curve.x.push_back(i), curve.y.push_back(i == 5003 ? 9.0 : 1.0);
  const std::vector<std::string> lines = split(plot({curve}, plain()), '\n');
  CHECK(lines[0].find('*') != std::string::npos);
}

TEST_CASE("points that are not finite leave a gap and are counted; nothing to draw is said") {
  const Curve curve{"a", {0, 1, 2}, {1.0, NAN, 2.0}};
  CHECK(plot({curve}, plain()).find("1 value not drawn: not finite") != std::string::npos);
  CHECK(plot({{"a", {}, {}}}, plain()).find("nothing to draw yet") != std::string::npos);
  PlotOptions o = plain();
  o.log_y = true;
  CHECK(plot({{"a", {0, 1, 2}, {1.0, 0.0, 100.0}}}, o).find("1 value not drawn: not positive") !=
        std::string::npos);
}

TEST_CASE("several curves have different marks; in Unicode one curve is braille") {
  const std::string two = plot({{"a", {0, 1}, {0, 1}}, {"b", {0, 1}, {1, 0}}}, plain());
  CHECK(two.find("* a   o b") != std::string::npos);
  CHECK(two.find('o') != std::string::npos);
  PlotOptions o = plain();
  o.unicode = true;
  const std::string one = plot({{"a", {0, 1}, {0, 1}}}, o);
  CHECK(one.find("\xE2\xA0") != std::string::npos);  // U+2800 and what follows
  CHECK(one.find("└") != std::string::npos);
}

TEST_CASE("a level is a line with its name at the right, unless it is far from the curves") {
  const Curve curve{"val", {0, 50, 100}, {2.0, 1.0, 0.0}};
  PlotOptions o = plain();
  o.levels = {{"middle", 1.0}, {"also middle", 1.01}, {"below", -0.2}, {"far", 9}, {"none", NAN}};
  const std::string text = plot({curve}, o);
  for (const std::string& line : split(text, '\n')) CHECK(line.size() <= 40);
  CHECK(text.find("- middle, als~\n") != std::string::npos);
  CHECK(text.find("- below\n") != std::string::npos);
  CHECK(text.find("far") == std::string::npos);
  CHECK(text.find("none") == std::string::npos);
  o.log_y = true;  // of which a negative level has no place
  CHECK(plot({curve}, o).find("below") == std::string::npos);
}
