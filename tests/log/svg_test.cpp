#include "log/svg.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/file.h"
#include "has.h"
#include "log/charts.h"
#include "log/number_text.h"
#include "log/xml.h"
#include "paths.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

using namespace qkv;
using test::has;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  return (text.size() - replace_all(text, part, "").size()) / part.size();
}

const std::string kHostile =
    "</text><script>alert(1)</script>&\"'\x01\x1b[31m\xff\xed\xa0\x80\xef\xbf\xbe]]>\n";

}  // namespace

TEST_CASE("every chart is well-formed XML, whatever its names and values are") {
  CHECK_FALSE(xml_fault("<a><b></a>").empty());
  CHECK_FALSE(xml_fault("<a b=\"<\"></a>").empty());
  CHECK_FALSE(xml_fault("<a>\x01</a>").empty());
  const std::vector<double> odd = {NAN, INFINITY, -INFINITY, 1e300, -1e-300, 0, 5};
  LineChart lines{kHostile, kHostile, kHostile};
  lines.curves = {{kHostile, odd, odd}, {"", {}, {}}, {"one", {1}, {2}}};
  lines.levels = {{kHostile, 3}, {"not a number", NAN}};
  lines.marks = {{kHostile, 1}};
  PointChart points{kHostile, kHostile, kHostile, {{1, 2, kHostile, 99}, {NAN, 0, "", -1}}};
  points.groups = {kHostile, kHostile};
  BarChart bars{kHostile, kHostile, {}};
  for (double v : odd) bars.bars.emplace_back(kHostile, v);
  std::vector<Svg> all = {matrix_chart({kHostile, kHostile, kHostile, {kHostile}, {kHostile, ""}, {NAN, -2}}),
                          matrix_chart({"empty", "", "", {}, {}, {}}),
                          point_chart(points),
                          point_chart({"empty", "", "", {}}),
                          bar_chart(bars),
                          bar_chart({"empty", "", {}})};
  for (bool log : {false, true}) {
    lines.log_x = lines.log_y = log;
    all.push_back(line_chart(lines));
  }
  all.push_back(svg_grid(kHostile, all));
  for (const Svg& one : all) {
    CHECK(xml_fault(one.str()) == "");
    CHECK_FALSE(has(one.str(), "<script"));
    for (const char* number : {"nan", "inf\""}) CHECK_FALSE(has(one.str(), number));
  }
  CHECK_THROWS_AS(Svg(1, 1, "").box(0, 0, 1, 1, "pink"), Error);
}

TEST_CASE("a picture has a title, names of its axes, and colours for light paper and for dark screens") {
  LineChart chart{"loss of a run", "step", "loss"};
  chart.curves = {{"train", {0, 10000}, {2.5, 0.5}}, {"val", {0, 10000}, {2, 1}}};
  chart.levels = {{"bigrams", 2.25}};
  const std::string svg = line_chart(chart).str();
  for (const char* part : {"<title>loss of a run</title>", ">step</text>", ">loss</text>", ">train</text>",
                           ">bigrams 2.2500</text>", ">10k</text>", ">2.5</text>",
                           "prefers-color-scheme: dark", "stroke-dasharray"})
    CHECK_MESSAGE(has(svg, part), part);
  CHECK(count(svg, "class=\"s-c0\" stroke=\"#6b57c2\"") == 2);  // the curve, and its sample in the legend
  CHECK(has(svg, ".s-c0{stroke:#a394f0}"));
}

TEST_CASE("the colours of pictures are those of the page of a report") {
  const std::string css = read_file(source_dir() + "/src/report/page/page.css");
  for (const char* name : {"ink", "soft", "rule", "accent", "good", "bad", "Q", "K", "V", "c0", "c1", "c7"}) {
    Svg svg(1, 1, "");
    svg.box(0, 0, 1, 1, name);
    const std::string text = svg.str(), light = text.substr(text.rfind("fill=\"#") + 6, 7),
                      dark = text.substr(
                          text.find(std::string(".f-") + name + "{fill:") + 9 + std::string(name).size(), 7);
    CHECK(has(css, fmt::format("--{}: {};", name, light)));
    CHECK(has(css, fmt::format("--{}: {};", name, dark)));
  }
}

TEST_CASE("curves break where a value cannot be drawn, and what lies outside ends at the frame") {
  LineChart chart{"t"};
  chart.curves = {{"a", {0, 1, 2, 3, 4}, {1, 2, NAN, 2, 1}}};
  CHECK(count(line_chart(chart).str(), "stroke-width=\"2\"") == 2);
  chart.curves = {{"each", {0, 1}, {0, 1000}}, {"mean", {0, 1}, {0, 1}}};
  chart.fit_last = true;
  const std::string svg = line_chart(chart).str();
  CHECK(has(svg, ">1.0</text>"));
  CHECK_FALSE(has(svg, ">1000</text>"));
}

TEST_CASE("the strongest cell of a matrix is opaque, and negative ones are grey") {
  const std::string svg = matrix_chart({"m", "", "", {"a", "b"}, {"x", "y"}, {4, 2, -1, 0}}).str();
  CHECK(has(svg, "fill=\"#5b5fc7\"><title>a, x: 4.0000"));
  CHECK(has(svg, "fill-opacity=\"0.500\"><title>a, y: 2.0000"));
  CHECK(has(svg, "fill=\"#666c77\" fill-opacity=\"0.250\"><title>b, x: -1.0000"));
}

TEST_CASE("the numbers of an axis have one form") {
  using Texts = std::vector<std::string>;
  CHECK(tick_texts({0, 0.25, 0.5}) == Texts{"0", "0.25", "0.50"});
  CHECK(tick_texts({0, 5000, 10000}) == Texts{"0", "5k", "10k"});
  CHECK(tick_texts({1e6, 1.5e6}) == Texts{"1.0M", "1.5M"});
  CHECK(tick_texts({0, 5e-6, 1e-5}) == Texts{"0", "5e-06", "1.0e-05"});
  CHECK(tick_texts({0.02}) == Texts{"0.02"});
  CHECK(tick_texts({}).empty());
}

TEST_CASE("a metric has the name of the field in pictures and on the page") {
  const std::string names = read_file(source_dir() + "/src/report/page/names.js");
  for (const char* key :
       {"loss", "accuracy", "macro_f1", "exact_match", "answer_loss", "token_accuracy", "perplexity",
        "bits_per_char", "bleu", "chrf", "rouge1", "rougeL", "lr", "grad_norm"}) {
    const std::size_t at = names.find(std::string(key) + ": \"");
    REQUIRE_MESSAGE(at != std::string::npos, key);
    const std::size_t begin = names.find('"', at) + 1;
    CHECK(lower_ascii(names.substr(begin, names.find('"', begin) - begin)) == lower_ascii(metric_title(key)));
  }
  CHECK(metric_title("train_exact_match") == "exact match on training examples");
}
