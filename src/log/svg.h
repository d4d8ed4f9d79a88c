// Pictures as SVG: lines, boxes, dots and texts. Lengths are pixels from the upper left corner. A colour is
// named by what it is for ("ink", "soft", "rule", "paper", "accent", "good", "bad", "Q", "K", "V", "c0" ...
// "c7"): it has one form for light paper and print, and one for screens that prefer dark.
#pragma once
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qkv {

using Points = std::vector<std::pair<double, double>>;

class Svg {
 public:
  /// `title` is drawn above everything, in kTitle pixels, and is what a screen reader says.
  Svg(double width, double height, std::string title);
  static constexpr double kTitle = 32;

  void line(const Points& points, const std::string& colour, double width = 1, bool dashed = false,
            double opacity = 1);
  /// `hint` is shown where the pointer is.
  void box(double x, double y, double width, double height, const std::string& colour, double opacity = 1,
           const std::string& hint = "");
  void dot(double x, double y, const std::string& colour, const std::string& hint = "");
  /// `anchor`: "start", "middle" or "end" of the text is at x. It is turned around that point, in degrees.
  void text(double x, double y, const std::string& text, const char* anchor = "middle",
            const std::string& colour = "ink", double turned = 0, bool bold = false);
  /// Another picture in this one.
  void place(double x, double y, const Svg& other);
  double width() const { return width_; }
  double height() const { return height_; }
  /// The document: XML whatever the texts hold.
  std::string str() const;

 private:
  std::string paint(const char* property, const std::string& colour);
  void add(const std::string& element, const std::string& hint);

  double width_, height_;
  std::string title_, elements_;
  std::set<std::string> used_;  // rules of colours on dark screens
};

/// Pictures side by side as one, in rows that are at most about `width` wide.
Svg svg_grid(const std::string& title, const std::vector<Svg>& pictures, double width = 1500);

/// About as wide as the text is drawn.
double text_width(const std::string& text);

}  // namespace qkv
