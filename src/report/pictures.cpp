// The pictures of the page as SVG, made of the same data.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "inspect/look.h"
#include "log/charts.h"
#include "log/number_text.h"
#include "report/report.h"

namespace qkv {
namespace {

std::vector<double> doubles(const Json& list) {
  std::vector<double> values;
  for (const Json& one : list) values.push_back(one.is_null() ? NAN : to_double(one, "report"));
  return values;
}

// What `pack` has packed (report.h).
std::vector<double> unpacked(const std::string& text, std::size_t n, double most, int bits) {
  const auto digit = [](char c) {
    std::uint64_t value = std::uint64_t(c - '!');
    for (char skipped : {'"', '<', '\\'}) value -= c > skipped;
    return value;
  };
  const double half = double((std::int64_t{1} << (bits - 1)) - 1);
  std::vector<double> values;
  std::uint64_t pending = 0;
  int count = 0;
  for (std::size_t at = 0; values.size() < n; count -= bits) {
    for (; count < bits; count += 13, at += 2)
      pending = pending << 13 | (digit(text.at(at)) * 91 + digit(text.at(at + 1)));
    const std::uint64_t level = pending >> (count - bits);
    pending &= (std::uint64_t{1} << (count - bits)) - 1;
    values.push_back((double(level) - half) / half * most);
  }
  return values;
}

using Pictures = std::vector<std::pair<std::string, Svg>>;

void add_curves(const Json& runs, Pictures& pictures) {
  std::set<std::string> metrics;
  for (const Json& run : runs)
    for (auto& [metric, splits] : run.at("curves").items()) metrics.insert(metric);
  for (const std::string& metric : metrics) {
    LineChart chart{metric_title(metric)};
    for (const Json& run : runs) {
      const Json splits = run.at("curves").value(metric, Json::object());
      for (auto& [split, curve] : splits.items())
        chart.curves.push_back({(runs.size() > 1 ? run.at("name").get<std::string>() + ", " : "") + split,
                                doubles(curve.at("x")), doubles(curve.at("y"))});
    }
    const Json levels = runs.size() == 1 ? runs[0].value("levels", Json::array()) : Json::array();
    for (const Json& level : levels)
      if (level.at("metric") == metric)
        chart.levels.push_back({level.at("name").get<std::string>(), to_double(level.at("value"), "levels")});
    pictures.emplace_back("curve-" + metric, line_chart(chart));
  }
}

// The final value of the metric that decides, of each run.
void add_comparison(const Json& runs, Pictures& pictures) {
  const std::string metric =
      runs[0].at("start").is_null() ? "loss" : runs[0]["start"].value("metric", "loss");
  BarChart chart{"final " + metric_title(metric), metric_title(metric), {}};
  for (const Json& run : runs) {
    const Json& result = run.at("result");
    if (!result.is_object()) continue;
    const Json value =
        result.value(result.contains("test") ? "test" : "val", Json::object()).value(metric, Json());
    if (!value.is_null())
      chart.bars.emplace_back(run.at("name").get<std::string>(), to_double(value, metric));
  }
  if (chart.bars.size() > 1) pictures.emplace_back("comparison", bar_chart(chart));
}

void add_confusion(const Json& evaluation, Pictures& pictures) {
  const auto labels = evaluation.at("labels").get<std::vector<std::string>>();
  MatrixChart chart{"confusion", "is", "answered", labels, labels, {}};
  for (const Json& row : evaluation.at("confusion"))
    for (const Json& count : row) chart.values.push_back(count.get<double>());
  chart.decimals = 0;
  pictures.emplace_back("confusion", matrix_chart(chart));
}

// W_Q, W_K and W_V, and attention as the mean of the heads, of the last frame.
void add_film(const Json& film, Pictures& pictures) {
  std::map<std::string, Svg> weights;  // by layer and Q, K, V
  for (const Json& one : film.at("matrices")) {
    const std::size_t rows = one.at("rows"), columns = one.at("columns");
    const std::string which = one.at("which"), layer = one.at("layer");
    const std::vector<double> values =
        unpacked(one.at("frames").back(), rows * columns, to_double(one.at("most"), which), one.at("bits"));
    weights.emplace(layer + std::string("QKV").substr(0, std::string("QKV").find(which)),
                    matrix_chart({layer + ", W_" + which, "", "", std::vector<std::string>(rows),
                                  std::vector<std::string>(columns), values, which}));
  }
  std::vector<Svg> sorted;
  for (auto& [name, picture] : weights) sorted.push_back(picture);
  if (!sorted.empty()) pictures.emplace_back("weights", svg_grid("weights at the last step", sorted, 1200));
  for (std::size_t i = 0; i < film.at("attention").size(); i++) {
    std::vector<MatrixChart> layers;
    double most = 0;
    for (const Json& layer : film["attention"][i]) {
      const std::size_t heads = layer.at("heads"), T = layer.at("words");
      const std::vector<double> all = unpacked(layer.at("all"), heads * T * T, 1, film.at("bits"));
      std::vector<std::string> words =
          printable(film.at("texts").at(i).at("words").get<std::vector<std::string>>());
      words.resize(T);
      MatrixChart chart{layer.at("layer").get<std::string>() + ", mean of all heads",
                        "query",
                        "key",
                        words,
                        words,
                        std::vector<double>(T * T)};
      for (std::size_t k = 0; k < all.size(); k++) chart.values[k % (T * T)] += all[k] / double(heads);
      most = std::max(most, *std::max_element(chart.values.begin(), chart.values.end()));
      layers.push_back(chart);
    }
    std::vector<Svg> maps;
    for (MatrixChart& chart : layers) chart.most = most, maps.push_back(matrix_chart(chart));
    const std::string text = printable(film.at("texts").at(i).at("text").get<std::string>());
    if (!maps.empty()) pictures.emplace_back(fmt::format("attention-{}", i + 1), svg_grid(text, maps));
  }
}

void add_map(const Json& film, Pictures& pictures) {
  const Json& points = film.at("points");
  const std::size_t n = points.at("words").size();
  for (auto [which, title] :
       {std::pair{"static", "vectors before the first layer"}, {"vectors", "vectors after the last layer"}}) {
    if (!points.contains(which)) continue;
    const Json& map = points[which];
    const std::vector<double> at =
        unpacked(map.at("frames").back(), 2 * n, to_double(map.at("most"), which), points.at("bits"));
    PointChart chart{title, "first component", "second component", {}};
    chart.groups = film.at("classes").get<std::vector<std::string>>();
    chart.names = false;
    for (std::size_t i = 0; i < n; i++)
      chart.points.push_back({at[2 * i], at[2 * i + 1], points.at("texts").at(i), points.at("labels").at(i)});
    pictures.emplace_back(std::string("map-") + which, point_chart(chart));
  }
}

// Each parameter's norms from evaluation to evaluation, as shares of its largest.
void add_norms(const Json& norms, Pictures& pictures) {
  for (const char* kind : {"weight", "gradient"}) {
    MatrixChart chart{
        fmt::format("norm of each parameter's {}, as a share of its largest", kind), "", "step", {}, {}, {}};
    for (const Json& step : norms.at("steps")) chart.columns.push_back(short_count(to_double(step, "step")));
    for (auto& [name, list] : norms.at(kind).items()) {
      std::vector<double> values = doubles(list);
      values.resize(chart.columns.size(), NAN);
      double most = 0;
      for (double v : values) most = std::isfinite(v) ? std::max(most, v) : most;
      chart.rows.push_back(name);
      for (double v : values) chart.values.push_back(most > 0 ? v / most : v);
    }
    if (!chart.rows.empty()) pictures.emplace_back(std::string("norms-") + kind, matrix_chart(chart));
  }
}

}  // namespace

std::vector<std::pair<std::string, Svg>> report_pictures(const Json& data) {
  Pictures pictures;
  const Json& run = data.at("runs").at(0);
  add_curves(data.at("runs"), pictures);
  add_comparison(data.at("runs"), pictures);
  if (data.at("evaluation").is_object()) add_confusion(data["evaluation"], pictures);
  if (data.value("film", Json()).is_object()) {
    add_film(data["film"], pictures);
    if (data["film"].at("points").is_object()) add_map(data["film"], pictures);
  }
  if (run.at("norms").is_object()) add_norms(run["norms"], pictures);
  if (run.at("seconds").is_array()) {
    BarChart chart{"training time", "seconds", {}};
    for (const Json& part : run["seconds"])
      chart.bars.emplace_back(part.at("part").get<std::string>(), to_double(part.at("seconds"), "seconds"));
    pictures.emplace_back("time", bar_chart(chart));
  }
  return pictures;
}

}  // namespace qkv
