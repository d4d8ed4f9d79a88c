#include "log/charts.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/at.h"
#include "log/number_text.h"
#include "log/terminal_text.h"

namespace qkv {
namespace {

constexpr double kRow = 22, kLetter = 12;
constexpr int kName = 28;  // letters of a name

struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double v) {
    if (std::isfinite(v)) low = std::min(low, v), high = std::max(high, v);
  }
  // With room at both ends; some range where there is none.
  Scale scale(double begin, double end, double room, bool log = false) const {
    if (low > high) return {log ? 1.0 : 0.0, log ? 10.0 : 1.0, begin, end, log};
    if (log) return {low, low < high ? high : 10 * low, begin, end, true};
    const double more = low < high ? room * (high - low) : low == 0 ? 1 : 0.1 * std::fabs(low);
    return {low - more, high + more, begin, end};
  }
};

double widest(const std::vector<std::string>& texts) {
  double width = 0;
  for (const std::string& text : texts) width = std::max(width, text_width(text));
  return width;
}

std::vector<std::string> fitted(const std::vector<std::string>& texts) {
  return mapped(texts, [](const std::string& text) { return fit_width(text, kName); });
}

// The frame of a picture: grid, numbers and names of both axes.
void draw_axes(Svg& svg, const Scale& x, const Scale& y, const std::string& x_label,
               const std::string& y_label) {
  for (auto& [at, text] : y.marks()) {
    svg.line({{x.begin, at}, {x.end, at}}, "rule");
    svg.text(x.begin - 8, at + 4, text, "end", "soft");
  }
  double taken = -1e9;
  for (auto& [at, text] : x.marks()) {
    svg.line({{at, y.begin}, {at, y.begin + 4}}, "soft");
    const double half = text_width(text) / 2;
    if (at - half < taken) continue;
    svg.text(at, y.begin + 18, text, "middle", "soft");
    taken = at + half + 6;
  }
  svg.line({{x.begin, y.end}, {x.begin, y.begin}, {x.end, y.begin}}, "soft");
  svg.text((x.begin + x.end) / 2, y.begin + 36, x_label);
  svg.text(16, (y.begin + y.end) / 2, y_label, "middle", "ink", -90);
}

// Coloured strokes with names, in rows from y on; their height where `svg` is null.
double draw_legend(Svg* svg, double x, double y, double right, const std::vector<std::string>& names,
                   const std::vector<std::string>& colours) {
  double at = x, row = 0;
  for (std::size_t i = 0; i < names.size(); i++) {
    const double width = 30 + text_width(names[i]) + 18;
    if (at > x && at + width > right) at = x, row += kRow;
    if (svg) svg->line({{at, y + row}, {at + 22, y + row}}, colours[i], 3);
    if (svg) svg->text(at + 30, y + row + 4, names[i], "start");
    at += width;
  }
  return names.empty() ? 0 : row + kRow;
}

}  // namespace

std::string curve_colour(std::size_t i) {
  return fmt::format("c{}", i % 8);
}

double Scale::at(double value) const {
  if (!(high > low)) return (begin + end) / 2;
  const double part = log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return begin + part * (end - begin);
}

std::vector<double> Scale::ticks() const {
  constexpr std::size_t kMany = 9;
  if (!log) return round_ticks(low, high, 5);
  std::vector<double> all, powers;
  for (double power = std::pow(10, std::floor(std::log10(low))); power <= high * (1 + 1e-9); power *= 10)
    for (double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * power;
      if (tick < low * (1 - 1e-9) || tick > high * (1 + 1e-9)) continue;
      all.push_back(tick);
      if (factor == 1) powers.push_back(tick);
    }
  return all.size() > kMany ? powers : all;
}

std::vector<std::pair<double, std::string>> Scale::marks() const {
  const std::vector<double> values = ticks();
  const std::vector<std::string> texts = log ? std::vector<std::string>() : tick_texts(values);
  std::vector<std::pair<double, std::string>> result;
  for (std::size_t i = 0; i < values.size(); i++)
    result.emplace_back(at(values[i]), log ? tick_texts({values[i]})[0] : texts[i]);
  return result;
}

Svg line_chart(const LineChart& c) {
  constexpr double kLeft = 76, kRight = 700, kTop = Svg::kTitle + 10, kBottom = 340;
  const auto drawn = [](double v, bool log) {
    return std::isfinite(v) && (!log || v > 0);
  };
  Extent wide, high;
  std::vector<std::string> names, colours;
  for (std::size_t i = 0; i < c.curves.size(); i++) {
    const Curve& curve = c.curves[i];
    names.push_back(curve.name);
    colours.push_back(i < c.colours.size() ? c.colours[i] : curve_colour(i));
    for (std::size_t k = 0; k < curve.x.size(); k++) {
      if (!drawn(curve.x[k], c.log_x) || !drawn(curve.y[k], c.log_y)) continue;
      wide.add(curve.x[k]);
      if (!c.fit_last || i + 1 == c.curves.size()) high.add(curve.y[k]);
    }
  }
  for (const ChartLine& level : c.levels)
    if (drawn(level.at, c.log_y)) high.add(level.at);
  const Scale x = wide.scale(kLeft, kRight, 0, c.log_x), y = high.scale(kBottom, kTop, 0.05, c.log_y);
  const double below = kBottom + 60;
  Svg svg(kRight + 30, below + draw_legend(nullptr, kLeft, 0, kRight, names, colours), c.title);
  draw_axes(svg, x, y, c.x_label, c.y_label);
  std::vector<double> named;  // a name stands at the right end, or where another one is near at the left
  for (const ChartLine& level : c.levels) {
    if (!drawn(level.at, c.log_y)) continue;
    const double at = y.at(level.at);
    const bool left =
        std::any_of(named.begin(), named.end(), [&](double v) { return std::fabs(v - at) < 12; });
    svg.line({{kLeft, at}, {kRight, at}}, level.colour, 1, true);
    svg.text(left ? kLeft + 6 : kRight, at - 4, fmt::format("{} {}", level.name, metric_text(level.at)),
             left ? "start" : "end", level.colour);
    if (!left) named.push_back(at);
  }
  for (std::size_t i = 0; i < c.curves.size(); i++) {
    Points points;
    const Curve& curve = c.curves[i];
    const auto flush = [&] {
      if (points.size() == 1) svg.dot(points[0].first, points[0].second, colours[i]);
      if (points.size() > 1) svg.line(points, colours[i], i + 1 == c.curves.size() ? 2 : 1.5);
      points.clear();
    };
    for (std::size_t k = 0; k < curve.x.size(); k++)
      if (drawn(curve.x[k], c.log_x) && drawn(curve.y[k], c.log_y))
        points.emplace_back(x.at(curve.x[k]), std::clamp(y.at(curve.y[k]), kTop, kBottom));
      else
        flush();
    flush();
  }
  double height = kTop + 12;
  for (const ChartLine& mark : c.marks) {
    const bool left = x.at(mark.at) > (kLeft + kRight) / 2;
    svg.line({{x.at(mark.at), kTop}, {x.at(mark.at), kBottom}}, mark.colour, 1.5);
    svg.text(x.at(mark.at) + (left ? -5 : 5), height, mark.name, left ? "end" : "start", mark.colour);
    height += 16;
  }
  draw_legend(&svg, kLeft, below, kRight, names, colours);
  return svg;
}

Svg matrix_chart(const MatrixChart& c) {
  const std::vector<std::string> rows = fitted(c.rows), columns = fitted(c.columns);
  const auto n = double(columns.size());
  double most = c.most;
  for (double v : c.values)
    if (std::isfinite(v)) most = std::max(most, std::fabs(v));
  const bool upright = n > 0 && widest(columns) > 44;
  const bool wordy = c.numbers && n <= 16;
  const double cell =
                   wordy ? 48 : std::clamp((widest(columns) > 0 ? 640 : 320) / std::max(1.0, n), 4.0, 24.0),
               height = wordy ? 26 : cell;
  // Of names that are closer than letters are high, every second, third, ... is written.
  const auto apart = [](double needed, double step) {
    return std::size_t(std::max(1.0, std::ceil(needed / step)));
  };
  const std::size_t every_column = apart(upright ? kLetter : widest(columns) + 4, cell),
                    every_row = apart(kLetter, height);
  const double left = 24 + widest(rows) + (c.row_label.empty() ? 0 : 16),
               top = Svg::kTitle + (c.column_label.empty() ? 0 : 18) + (upright ? widest(columns) + 12 : 22);
  const double width = left + n * cell, below = top + double(rows.size()) * height;
  const bool negative = std::any_of(c.values.begin(), c.values.end(), [](double v) { return v < 0; });
  const std::string scale =
      fmt::format("strongest colour: {}{}", metric_text(most), negative ? "; grey is negative" : "");
  Svg svg(std::max({width, text_width(c.title) * 1.1, left + text_width(scale)}) + 24, below + 28, c.title);
  for (std::size_t r = 0; r < rows.size(); r++) {
    const double y = top + double(r) * height;
    if (r % every_row == 0)
      svg.text(left - 8, y + height / 2 + 4, rows[r], "end", "ink", 0, int(r) == c.marked);
    for (std::size_t k = 0; k < columns.size(); k++) {
      const double v = c.values.at(r * columns.size() + k), x = left + double(k) * cell;
      if (!std::isfinite(v)) continue;
      const double share = most > 0 ? std::fabs(v) / most : 0, gap = cell > 8 ? 1 : 0;
      const std::string text = most < 1000 ? fmt::format("{:.{}f}", v, c.decimals) : metric_text(v);
      const bool named = !c.rows[r].empty() && !c.columns[k].empty();
      svg.box(x, y, cell - gap, height - gap, v < 0 ? "soft" : c.colour, share,
              named ? fmt::format("{}, {}: {}", c.rows[r], c.columns[k], metric_text(v)) : "");
      if (wordy) svg.text(x + cell / 2, y + height / 2 + 4, text, "middle", share > 0.6 ? "paper" : "ink");
    }
  }
  for (std::size_t k = 0; k < columns.size(); k += every_column) {
    const double x = left + (double(k) + 0.5) * cell;
    svg.text(upright ? x + 4 : x, top - 8, columns[k], upright ? "start" : "middle", "ink", upright ? -90 : 0,
             int(k) == c.marked && c.rows == c.columns);
  }
  svg.text(left, Svg::kTitle + 12, c.column_label, "start", "soft");
  svg.text(16, (top + below) / 2, c.row_label, "middle", "soft", -90);
  svg.text(left, below + 18, scale, "start", "soft");
  return svg;
}

Svg point_chart(const PointChart& c) {
  constexpr double kLeft = 76, kRight = 560, kTop = Svg::kTitle + 10, kBottom = 440;
  Extent wide, high;
  for (const PointChart::Point& p : c.points) wide.add(p.x), high.add(p.y);
  const Scale x = wide.scale(kLeft, kRight, 0.08), y = high.scale(kBottom, kTop, 0.08);
  std::vector<std::string> colours;
  for (std::size_t i = 0; i < c.groups.size(); i++) colours.push_back(curve_colour(i));
  const double below = kBottom + 60;
  Svg svg(kRight + 140, below + draw_legend(nullptr, kLeft, 0, kRight, c.groups, colours), c.title);
  draw_axes(svg, x, y, c.x_label, c.y_label);
  std::map<std::pair<long, long>, int> seen;  // equal points are laid out as a sunflower around their place
  for (const PointChart::Point& p : c.points) {
    if (!std::isfinite(p.x) || !std::isfinite(p.y)) continue;
    const int k = seen[{std::lround(x.at(p.x) / 2), std::lround(y.at(p.y) / 2)}]++;
    const double away = 4.4 * std::sqrt(k), px = x.at(p.x) + away * std::cos(2.4 * k),
                 py = y.at(p.y) + away * std::sin(2.4 * k);
    svg.dot(px, py, curve_colour(std::size_t(std::max(0, p.group))), p.name);
    if (c.names) svg.text(px + 8, py + 4, fit_width(p.name, kName), "start");
  }
  draw_legend(&svg, kLeft, below, kRight, c.groups, colours);
  return svg;
}

Svg bar_chart(const BarChart& c) {
  std::vector<std::string> names;
  Extent wide;
  wide.add(0);
  for (auto& [name, value] : c.bars) names.push_back(fit_width(name, 2 * kName)), wide.add(value);
  const double left = 24 + widest(names), top = Svg::kTitle + 6, below = top + kRow * double(names.size());
  Scale x = wide.scale(left, left + 420, 0);
  Svg svg(x.end + 90, below + 44, c.title);
  draw_axes(svg, x, {0, 0, below, top}, c.label, "");
  for (std::size_t i = 0; i < names.size(); i++) {
    const double value = c.bars[i].second, y = top + kRow * double(i);
    svg.text(left - 8, y + 15, names[i], "end");
    if (!std::isfinite(value)) continue;
    const double from = std::min(x.at(0), x.at(value)), to = std::max(x.at(0), x.at(value));
    svg.box(from, y + 3, to - from, kRow - 6, value < 0 ? "soft" : c.colour, 1, c.bars[i].first);
    svg.text(to + 5, y + 15, metric_text(value), "start", "soft");
  }
  return svg;
}

}  // namespace qkv
