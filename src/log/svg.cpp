#include "log/svg.h"

#include <fmt/core.h>

#include <cmath>

#include "log/plot.h"
#include "qkv/base/text.h"

namespace qkv {

static std::string in_xml(const std::string& text) {
  std::string clean = replace_all(replace_all(replace_all(text, "&", "&amp;"), "<", "&lt;"), "\"", "&quot;");
  for (char& c : clean)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return clean;
}

std::string svg_page(double width, double height, const std::string& title, const std::string& elements) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} "
      "{1:g}\" "
      "role=\"img\" aria-label=\"{2}\" font-family=\"sans-serif\" font-size=\"12\">\n{3}{4}</svg>\n",
      width, height, in_xml(title), svg_box(0, 0, width, height, "white"), elements);
}

std::string svg_line(const std::vector<std::pair<double, double>>& points, const std::string& colour,
                     double width) {
  std::string path;
  for (auto& [x, y] : points) path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", x, y);
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{:g}\"/>\n", path,
                     colour, width);
}

std::string svg_box(double x, double y, double width, double height, const std::string& colour) {
  return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", x,
                     y, width, height, colour);
}

std::string svg_text(double x, double y, const std::string& text, const char* anchor,
                     const std::string& colour) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n", x, y,
                     anchor, colour, in_xml(text));
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

}  // namespace qkv
