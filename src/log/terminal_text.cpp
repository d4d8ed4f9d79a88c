#include "log/terminal_text.h"

#include <algorithm>
#include <cmath>

#include "qkv/base/text.h"

namespace qkv {
namespace {

// Length of a colour code ESC [ digits ; digits m at `begin`, else 0.
std::size_t color_code(std::string_view text, std::size_t begin) {
  if (text.substr(begin, 2) != "\033[") return 0;
  const std::size_t last = text.find_first_not_of("0123456789;", begin + 2);
  return last != std::string_view::npos && text[last] == 'm' ? last + 1 - begin : 0;
}

// Calls glyph(code point, its bytes) and color(the code) along the text until one returns false.
template <class Glyph, class Color>
void walk(std::string_view text, Glyph glyph, Color color) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    if (std::size_t length = color_code(text, i)) {
      i += length;
      if (!color(text.substr(begin, length))) return;
    } else {
      const char32_t code = next_code_point(text, i);
      if (!glyph(code, text.substr(begin, i - begin))) return;
    }
  }
}

std::string spaces(int count) {
  return std::string(static_cast<std::size_t>(std::max(0, count)), ' ');
}

// C0, DEL and C1. A stray byte of 0x80..0x9F could be read as C1 by an 8-bit terminal: malformed counts too.
bool is_control(char32_t code, std::string_view bytes) {
  if (code == U'\n' || code == U'\t') return false;
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code == U'\uFFFD' && bytes.size() == 1);
}

}  // namespace

int visible_width(std::string_view text) {
  int width = 0;
  walk(
      text, [&](char32_t code, std::string_view) { return width += display_width(code), true; },
      [](std::string_view) { return true; });
  return width;
}

std::string fit_width(std::string_view text, int width, bool unicode) {
  if (visible_width(text) <= width) return std::string(text);
  if (width < 1) return {};
  std::string result;
  int used = 0;
  bool colored = false;
  walk(
      text,
      [&](char32_t code, std::string_view bytes) {
        used += display_width(code);
        if (used > width - 1) return false;
        result += bytes;
        return true;
      },
      [&](std::string_view code) { return result += code, colored = true; });
  result += unicode ? "…" : "~";
  if (colored) result += "\033[0m";
  return result;
}

std::vector<std::string> wrapped(std::string_view text, int width) {
  std::vector<std::string> lines(1);
  for (const std::string& word : split(text, ' ')) {
    std::string& line = lines.back();
    if (!line.empty() && visible_width(line) + 1 + visible_width(word) > width)
      lines.push_back(word);
    else
      line += (line.empty() ? "" : " ") + word;
  }
  return lines;
}

std::string pad_right(std::string_view text, int width) {
  return std::string(text) + spaces(width - visible_width(text));
}

std::string pad_left(std::string_view text, int width) {
  return spaces(width - visible_width(text)).append(text);
}

std::string styled(Style style, std::string_view text) {
  static constexpr const char* kCodes[] = {"1", "2", "31", "32", "33", "36"};
  return std::string("\033[")
      .append(kCodes[static_cast<int>(style)])
      .append("m")
      .append(text)
      .append("\033[0m");
}

std::string shade(double fraction, bool unicode) {
  static constexpr const char* kShades[] = {" ", "░", "▒", "▓", "█"};
  static constexpr const char* kAscii[] = {" ", ".", ":", "*", "#"};
  const double part = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0;
  return (unicode ? kShades : kAscii)[std::lround(part * 4)];
}

std::string harmless(std::string_view text, bool keep_color) {
  std::string result;
  result.reserve(text.size());
  walk(
      text,
      [&](char32_t code, std::string_view bytes) {
        return result += is_control(code, bytes) ? std::string_view("?") : bytes, true;
      },
      [&](std::string_view code) { return result += keep_color ? code : std::string_view(), true; });
  return result;
}

}  // namespace qkv
