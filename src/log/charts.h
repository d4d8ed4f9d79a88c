// Charts as SVG: curves over axes, matrices, points on a plane, bars. Their numbers have the style of
// number_text.h.
#pragma once
#include <string>
#include <vector>

#include "log/plot.h"
#include "log/svg.h"

namespace qkv {

/// The range [low, high] of an axis on the pixels from `begin` to `end`.
struct Scale {
  double low, high, begin, end;
  bool log = false;  ///< by the logarithm; needs positive bounds
  double at(double value) const;
  /// Round numbers: about five; of a logarithmic axis 1, 2 and 5 times powers of ten, or of many the powers.
  std::vector<double> ticks() const;
  /// The same with their places and texts.
  std::vector<std::pair<double, std::string>> marks() const;
};

/// A line with its name: a level across the picture, or a mark at a place of the x axis.
struct ChartLine {
  std::string name;
  double at;
  std::string colour = "soft";
};

struct LineChart {
  std::string title, x_label = "step", y_label = {};
  std::vector<Curve> curves = {};
  std::vector<std::string> colours = {};  ///< of the curves, else c0, c1, ...
  std::vector<ChartLine> levels = {}, marks = {};
  bool log_x = false, log_y = false;
  bool fit_last = false;  ///< the y axis is that of the last curve; others may leave the picture
};
Svg line_chart(const LineChart& chart);

struct MatrixChart {
  std::string title, row_label = {}, column_label = {};
  std::vector<std::string> rows, columns;
  std::vector<double> values;     ///< row by row; those that are not finite are left out
  std::string colour = "accent";  ///< of positive values; negative ones are grey
  int marked = -1;                ///< this row has a bold name, and of equal names the column
  double most = 0;                ///< what has the strongest colour; 0: the largest value
  int decimals = 2;               ///< of the numbers
  bool numbers = true;            ///< written into the cells, where there is room
};
Svg matrix_chart(const MatrixChart& chart);

/// Dots on a plane with names, in the colour of their group.
struct PointChart {
  struct Point {
    double x, y;
    std::string name;
    int group = 0;
  };
  std::string title, x_label, y_label;
  std::vector<Point> points;
  std::vector<std::string> groups = {};
  bool names = true;  ///< are written beside the dots
};
Svg point_chart(const PointChart& chart);

struct BarChart {
  std::string title, label;  ///< of the axis
  std::vector<std::pair<std::string, double>> bars;
  std::string colour = "accent";
};
Svg bar_chart(const BarChart& chart);

/// "c0" ... "c7", again and again.
std::string curve_colour(std::size_t i);

}  // namespace qkv
