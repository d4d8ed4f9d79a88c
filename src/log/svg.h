// Pictures as SVG: lines, boxes and texts, and where numbers stand on an axis. Lengths are pixels from the
// upper left corner, colours those of CSS.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace qkv {

/// The elements as a white page; `title` is what a screen reader says of it.
std::string svg_page(double width, double height, const std::string& title, const std::string& elements);
std::string svg_line(const std::vector<std::pair<double, double>>& points, const std::string& colour,
                     double width = 1);
std::string svg_box(double x, double y, double width, double height, const std::string& colour);
/// `anchor`: "start", "middle" or "end" of the text is at x.
std::string svg_text(double x, double y, const std::string& text, const char* anchor = "middle",
                     const std::string& colour = "#333");

/// The range [low, high] of an axis on the pixels from `begin` to `end`.
struct Scale {
  double low, high, begin, end;
  bool log = false;  ///< by the logarithm; needs positive bounds
  double at(double value) const;
  /// Round numbers: about five; of a logarithmic axis 1, 2 and 5 times powers of ten, or of many the powers.
  std::vector<double> ticks() const;
};

}  // namespace qkv
