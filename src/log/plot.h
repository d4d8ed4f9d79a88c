// Curves with axes in text: dots of braille, eight to a character, or one mark per curve where there is no
// colour.
#pragma once
#include <string>
#include <vector>

namespace qkv {

struct Curve {
  std::string name;
  std::vector<double> x, y;  ///< in the order of x; points that are not finite leave a gap
};

/// A value that is drawn as a line across a plot, with its name at the right.
struct PlotLevel {
  std::string name;
  double y;
};

struct PlotOptions {
  std::string title = {}, x_label = "step";
  int width = 80, height = 15;  ///< columns and rows of the whole plot; at least 30 and 6 are used
  bool unicode = true, color = false;
  bool log_y = false;                  ///< logarithmic y axis; values that are not positive leave a gap
  std::vector<PlotLevel> levels = {};  ///< those that are far from all curves are left out
};

/// The height of a plot in lines: title, axes with round numbers, curves, legend. Every extreme of a curve is
/// drawn, however many points share a column.
std::string plot(const std::vector<Curve>& curves, const PlotOptions& options);

/// About `count` round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high] from inside.
std::vector<double> round_ticks(double low, double high, int count);

}  // namespace qkv
