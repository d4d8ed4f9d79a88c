#include "log/svg.h"

#include <fmt/core.h>

#include <algorithm>

#include "log/terminal_text.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// The colours of the page of a report (report/page/page.css): on paper and on a dark screen.
constexpr struct {
  const char *name, *light, *dark;
} kPaints[] = {
    {"paper", "#ffffff", "#14161a"}, {"ink", "#23262d", "#e6e5e1"},    {"soft", "#666c77", "#9aa0aa"},
    {"rule", "#e5e2db", "#2d3139"},  {"accent", "#5b5fc7", "#a3a6ff"}, {"good", "#1f7a4f", "#66c596"},
    {"bad", "#b8442f", "#ec8571"},   {"Q", "#2d6cdf", "#7fa9ff"},      {"K", "#a8610f", "#eda75c"},
    {"V", "#1f7a4f", "#66c596"},     {"c0", "#6b57c2", "#a394f0"},     {"c1", "#d0862b", "#efb266"},
    {"c2", "#178a94", "#5cc5ce"},    {"c3", "#c0457a", "#ef86b1"},     {"c4", "#6f8a2c", "#b0cb6a"},
    {"c5", "#4b77b0", "#8db4e8"},    {"c6", "#9a5b3c", "#d39a7c"},     {"c7", "#767b85", "#a9aeb8"},
};

// Characters that XML 1.0 does not allow, and bytes that are no UTF-8, become U+FFFD.
std::string in_xml(const std::string& text) {
  std::string clean;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool allowed = c >= 0x20 && (c < 0x7f || c > 0x9f) && c != 0xfffe && c != 0xffff;
    append_utf8(clean, c == '\n' || c == '\t' ? U' ' : allowed ? c : U'\ufffd');
  }
  for (auto [character, entity] : {std::pair{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}})
    clean = replace_all(clean, character, entity);
  return clean;
}

}  // namespace

Svg::Svg(double width, double height, std::string title)
    : width_(width), height_(height), title_(std::move(title)) {
  text(12, 20, title_, "start", "ink", 0, true);
}

// The attributes of a colour. A rule for dark screens is stronger than they are; readers that know no rules
// still have them.
std::string Svg::paint(const char* property, const std::string& colour) {
  const auto* found =
      std::find_if(std::begin(kPaints), std::end(kPaints), [&](auto& one) { return colour == one.name; });
  QKV_CHECK(found != std::end(kPaints), "svg: a colour must have a known name; got '{}'", colour);
  used_.insert(fmt::format(".{}-{}{{{}:{}}}", property[0], colour, property, found->dark));
  return fmt::format("class=\"{0}-{1}\" {2}=\"{3}\"", property[0], colour, property, found->light);
}

void Svg::add(const std::string& element, const std::string& hint) {
  const std::string name = element.substr(0, element.find(' '));
  elements_ +=
      "<" + element + (hint.empty() ? "/>\n" : fmt::format("><title>{}</title></{}>\n", in_xml(hint), name));
}

void Svg::line(const Points& points, const std::string& colour, double width, bool dashed, double opacity) {
  std::string path;
  for (auto& [x, y] : points) path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", x, y);
  add(fmt::format("polyline points=\"{}\" fill=\"none\" {} stroke-width=\"{:g}\"{}{}", path,
                  paint("stroke", colour), width, dashed ? " stroke-dasharray=\"5 3\"" : "",
                  opacity < 1 ? fmt::format(" stroke-opacity=\"{:.3f}\"", opacity) : ""),
      "");
}

void Svg::box(double x, double y, double width, double height, const std::string& colour, double opacity,
              const std::string& hint) {
  add(fmt::format("rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" {}{}", x, y, width,
                  height, paint("fill", colour),
                  opacity < 1 ? fmt::format(" fill-opacity=\"{:.3f}\"", opacity) : ""),
      hint);
}

void Svg::dot(double x, double y, const std::string& colour, const std::string& hint) {
  add(fmt::format("circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" {}", x, y, paint("fill", colour)), hint);
}

void Svg::text(double x, double y, const std::string& text, const char* anchor, const std::string& colour,
               double turned, bool bold) {
  if (text.empty()) return;
  const std::string turn =
      turned == 0 ? "" : fmt::format(" transform=\"rotate({:g} {:.1f} {:.1f})\"", turned, x, y);
  elements_ +=
      fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}{}{}>{}</text>\n", x, y, anchor,
                  paint("fill", colour), turn, bold ? " font-weight=\"bold\"" : "", in_xml(text));
}

void Svg::place(double x, double y, const Svg& other) {
  elements_ += fmt::format("<g transform=\"translate({:.1f} {:.1f})\">\n{}</g>\n", x, y, other.elements_);
  used_.insert(other.used_.begin(), other.used_.end());
}

std::string Svg::str() const {
  Svg paper = *this;
  paper.elements_.clear();
  paper.box(0, 0, width_, height_, "paper");
  std::string rules;
  for (const std::string& rule : paper.used_) rules += rule + "\n";
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} "
      "{1:g}\" "
      "role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n<title>{2}</title>\n"
      "<style>@media screen and (prefers-color-scheme: dark) {{\n{3}}}</style>\n{4}{5}</svg>\n",
      width_, height_, in_xml(title_), rules, paper.elements_, elements_);
}

Svg svg_grid(const std::string& title, const std::vector<Svg>& pictures, double width) {
  constexpr double kGap = 24;
  Points places;
  double x = 0, y = Svg::kTitle, widest = text_width(title) + 40, height = 0;
  for (const Svg& one : pictures) {
    if (x > 0 && x + one.width() > width) x = 0, y += height + kGap, height = 0;
    places.emplace_back(x, y);
    x += one.width() + kGap;
    widest = std::max(widest, x - kGap), height = std::max(height, one.height());
  }
  Svg all(widest, y + height, title);
  for (std::size_t i = 0; i < pictures.size(); i++) all.place(places[i].first, places[i].second, pictures[i]);
  return all;
}

double text_width(const std::string& text) {
  return 6.8 * visible_width(text);
}

}  // namespace qkv
