#include "log/terminal_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "qkv/base/text.h"

namespace qkv {
namespace {

// A character, or a colour code ESC [ digits ; digits m.
struct Glyph {
  std::string_view bytes;
  char32_t code;
  bool is_color;
  int width() const { return is_color ? 0 : display_width(code); }
  // C0, DEL and C1. A stray byte of 0x80..0x9F could be read as C1 by an 8-bit terminal: malformed counts
  // too.
  bool is_control() const {
    return (code < 0x20 && code != U'\n' && code != U'\t') || (code >= 0x7F && code < 0xA0) ||
           (code == U'\uFFFD' && bytes.size() == 1);
  }
};

// What stands at `position`, which moves past it.
Glyph next_glyph(std::string_view text, std::size_t& position) {
  const std::size_t begin = position;
  const char32_t code = next_code_point(text, position);
  std::size_t last = std::string_view::npos;
  if (text.substr(begin, 2) == "\033[") last = text.find_first_not_of("0123456789;", begin + 2);
  const bool is_color = last != std::string_view::npos && text[last] == 'm';
  if (is_color) position = last + 1;
  return {text.substr(begin, position - begin), code, is_color};
}

std::string spaces(int count) {
  return std::string(std::size_t(std::max(0, count)), ' ');
}

}  // namespace

int visible_width(std::string_view text) {
  int width = 0;
  for (std::size_t i = 0; i < text.size();) width += next_glyph(text, i).width();
  return width;
}

std::string fit_width(std::string_view text, int width, bool unicode) {
  if (visible_width(text) <= width) return std::string(text);
  if (width < 1) return {};
  std::string result;
  bool colored = false;
  int left = width - 1;
  for (std::size_t i = 0; i < text.size();) {
    const Glyph glyph = next_glyph(text, i);
    left -= glyph.width();
    if (left < 0) break;
    result += glyph.bytes;
    colored = colored || glyph.is_color;
  }
  return result + (unicode ? "…" : "~") + (colored ? "\033[0m" : "");
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
  return fmt::format("\033[{}m{}\033[0m", kCodes[int(style)], text);
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
  for (std::size_t i = 0; i < text.size();) {
    const Glyph glyph = next_glyph(text, i);
    if (glyph.is_color)
      result += keep_color ? glyph.bytes : "";
    else
      result += glyph.is_control() ? "?" : glyph.bytes;
  }
  return result;
}

}  // namespace qkv
