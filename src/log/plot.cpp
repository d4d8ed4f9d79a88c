#include "log/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "log/number_text.h"
#include "log/terminal_text.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr int kColors[] = {36, 33, 35, 32, 34, 31, 96, 93, 95, 92, 94, 91};  // cyan, yellow, ...
constexpr const char* kMarks[] = {"*", "o", "+", "x", "#", "@", "%", "&", "=", "$", "~", "^"};

std::string in_color(std::size_t curve, const std::string& text, bool color) {
  return color ? fmt::format("\033[{}m{}\033[0m", kColors[curve % std::size(kColors)], text) : text;
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double v) { low = std::min(low, v), high = std::max(high, v); }
  bool empty() const { return low > high; }
  // A single value gets room around it.
  void widen() {
    if (high > low) return;
    const double room = low == 0 ? 1 : 0.1 * std::fabs(low);
    low -= room, high += room;
  }
  double part(double v) const { return (v - low) / (high - low); }
};

// The nearest of n cells.
int place(const Range& range, double v, int n) {
  return int(std::lround(range.part(v) * (n - 1)));
}

// Cells of the plane, each made of `fine_x` by `fine_y` dots; a cell has the colour of what was drawn last.
class Canvas {
 public:
  Canvas(int columns, int rows, bool braille)
      : columns_(columns),
        rows_(rows),
        fine_x_(braille ? 2 : 1),
        fine_y_(braille ? 4 : 1),
        dots_(std::size_t(columns * rows), 0),
        curve_(dots_.size(), 0) {}

  int width() const { return columns_ * fine_x_; }
  int height() const { return rows_ * fine_y_; }

  // A line from dot to dot (Bresenham); y counts from the bottom.
  void line(int x0, int y0, int x1, int y1, std::size_t curve) {
    const int dx = std::abs(x1 - x0), dy = -std::abs(y1 - y0);
    const int sx = x0 < x1 ? 1 : -1, sy = y0 < y1 ? 1 : -1;
    for (int error = dx + dy;;) {
      dot(x0, y0, curve);
      if (x0 == x1 && y0 == y1) return;
      const int twice = 2 * error;
      if (twice >= dy) error += dy, x0 += sx;
      if (twice <= dx) error += dx, y0 += sy;
    }
  }

  std::string row(int r, bool color, const char* blank) const {
    std::string text;
    for (int c = 0; c < columns_; c++) {
      const auto i = std::size_t(r * columns_ + c);
      if (dots_[i] == 0) {
        text += blank;
      } else if (fine_x_ == 1) {
        text += in_color(curve_[i], kMarks[curve_[i] % std::size(kMarks)], color);
      } else {
        std::string cell;
        append_utf8(cell, char32_t{0x2800} + dots_[i]);
        text += in_color(curve_[i], cell, color);
      }
    }
    return text;
  }

 private:
  void dot(int x, int y, std::size_t curve) {
    // Bits of a braille character by column and row from the top.
    static constexpr unsigned char kBits[2][4] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};
    x = std::clamp(x, 0, width() - 1), y = height() - 1 - std::clamp(y, 0, height() - 1);
    const auto i = std::size_t(y / fine_y_ * columns_ + x / fine_x_);
    dots_[i] = static_cast<unsigned char>(dots_[i] | (fine_x_ == 1 ? 1 : kBits[x % 2][y % 4]));
    curve_[i] = curve;
  }

  int columns_, rows_, fine_x_, fine_y_;
  std::vector<unsigned char> dots_;
  std::vector<std::size_t> curve_;
};

struct Tick {
  double at;  // on the scale of the axis
  std::string text;
};

std::vector<Tick> y_ticks(const Range& y, bool log, int rows) {
  std::vector<Tick> ticks;
  int wanted = std::max(2, rows / 3);
  std::vector<double> at = round_ticks(y.low, y.high, wanted);
  while (at.size() < 2 && wanted < 20)
    at = round_ticks(y.low, y.high, ++wanted);  // one number shows no scale
  const std::vector<std::string> texts = tick_texts(at);
  for (std::size_t i = 0; i < at.size(); i++)
    ticks.push_back({at[i], log ? fmt::format("{:.2g}", std::pow(10, at[i])) : texts[i]});
  return ticks;
}

// The axis below: a line with ticks, then their numbers, as far as they do not touch each other or the label.
std::string x_axis(const Range& x, int columns, int margin, const PlotOptions& o) {
  std::string numbers(std::size_t(columns), ' ');
  std::vector<bool> ticks(numbers.size(), false);
  const int free = columns - int(o.x_label.size()) - 1;
  int next = 0;
  const std::vector<double> at = round_ticks(x.low, x.high, std::max(2, columns / 12));
  const std::vector<std::string> texts = tick_texts(at);
  for (std::size_t i = 0; i < at.size(); i++) {
    const std::string& text = texts[i];
    const int column = std::clamp(place(x, at[i], columns), 0, columns - 1), size = int(text.size());
    const int begin = std::clamp(column - size / 2, 0, columns - size);
    if (begin < next || begin + size > free) continue;
    ticks[std::size_t(column)] = true;
    numbers.replace(std::size_t(begin), text.size(), text);
    next = begin + size + 1;
  }
  if (free > 0) numbers.replace(std::size_t(free + 1), o.x_label.size(), o.x_label);
  std::string line = pad_left(o.unicode ? "└" : "+", margin + 1);
  for (bool tick : ticks) line += o.unicode ? (tick ? "┬" : "─") : (tick ? "+" : "-");
  return line + "\n" + pad_left("", margin + 1) + numbers + "\n";
}

// The names of the levels by the row, from the top, that they are in. The range grows to hold those that are
// near to the curves; others are left out.
std::map<int, std::string> level_rows(const PlotOptions& o, Range& y, int rows) {
  const double room = 0.25 * (y.high - y.low), low = y.low - room, high = y.high + room;
  const auto scaled = [&](const PlotLevel& level) {
    const double v = o.log_y ? std::log10(level.y) : level.y;
    return v >= low && v <= high ? v : NAN;
  };
  for (const PlotLevel& level : o.levels) y.add(scaled(level));
  std::map<int, std::string> result;
  for (const PlotLevel& level : o.levels) {
    if (std::isnan(scaled(level))) continue;
    std::string& names = result[rows - 1 - place(y, scaled(level), rows)];
    names += (names.empty() ? "" : ", ") + level.name;
  }
  return result;
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  std::vector<double> ticks;
  if (!(high > low) || !std::isfinite(high - low) || count < 1) return ticks;
  const double raw = (high - low) / count, power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
  for (double i = first; i <= last && ticks.size() < 1000; i++) ticks.push_back(i * step + 0.0);  // no -0
  return ticks;
}

std::string plot(const std::vector<Curve>& curves, const PlotOptions& o) {
  std::vector<Curve> shown = curves;  // on the scale of the axis, NaN where there is a gap
  Range x, y;
  std::size_t lost = 0;
  for (Curve& curve : shown)
    for (std::size_t i = 0; i < curve.x.size(); i++) {
      double& v = curve.y[i];
      if (o.log_y) v = v > 0 ? std::log10(v) : NAN;
      if (std::isfinite(v) && std::isfinite(curve.x[i])) {
        x.add(curve.x[i]), y.add(v);
      } else {
        v = NAN;
        lost++;
      }
    }
  std::string text = o.title.empty() ? "" : o.title + "\n";
  if (x.empty()) return text + "  (nothing to draw yet)\n";
  x.widen(), y.widen();

  const int rows = std::max(6, o.height) - 3 - (o.title.empty() ? 0 : 1);
  const std::map<int, std::string> levels = level_rows(o, y, rows);
  const std::vector<Tick> ticks = y_ticks(y, o.log_y, rows);
  int margin = 1;
  for (const Tick& tick : ticks) margin = std::max(margin, visible_width(tick.text));
  int names = 0;  // columns of the names of levels
  for (const auto& [row, text_of_row] : levels)
    names = std::min(std::max(30, o.width) / 3, std::max(names, 1 + visible_width(text_of_row)));
  const int columns = std::max(30, o.width) - margin - 3 - names;
  const bool braille = o.unicode && (o.color || curves.size() == 1);
  Canvas canvas(columns, rows, braille);
  for (std::size_t c = 0; c < shown.size(); c++) {
    const Curve& curve = shown[c];
    for (std::size_t i = 0; i < curve.x.size(); i++) {
      if (std::isnan(curve.y[i])) continue;
      const std::size_t before = i > 0 && !std::isnan(curve.y[i - 1]) ? i - 1 : i;
      canvas.line(place(x, curve.x[before], canvas.width()), place(y, curve.y[before], canvas.height()),
                  place(x, curve.x[i], canvas.width()), place(y, curve.y[i], canvas.height()), c);
    }
  }
  for (int r = 0; r < rows; r++) {
    std::string label;
    for (const Tick& tick : ticks)
      if (rows - 1 - place(y, tick.at, rows) == r) label = tick.text;
    text += pad_left(label, margin);
    text += o.unicode ? (label.empty() ? "│" : "┤") : (label.empty() ? "|" : "+");
    const auto level = levels.find(r);
    std::string row = canvas.row(r, o.color, level == levels.end() ? " " : o.unicode ? "╌" : "-");
    if (level != levels.end()) row += " " + fit_width(level->second, names - 1, o.unicode);
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  text += x_axis(x, columns, margin, o);
  const std::string indent = pad_left("", margin + 1);
  std::string legend, line = indent;
  for (std::size_t c = 0; c < curves.size(); c++) {
    const std::string mark = in_color(c, braille ? "──" : kMarks[c % std::size(kMarks)], o.color);
    const std::string entry = mark + " " + curves[c].name;
    if (c > 0 && visible_width(line + "   " + entry) > o.width) legend += line + "\n", line = indent;
    line += (line == indent ? "" : "   ") + entry;
  }
  legend += line;
  if (lost > 0)
    legend += fmt::format("   ({} value{} not drawn: {})", lost, lost == 1 ? "" : "s",
                          o.log_y ? "not positive or not finite" : "not finite");
  return text + legend + "\n";
}

}  // namespace qkv
