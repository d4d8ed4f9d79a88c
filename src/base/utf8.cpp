// The UTF-8 half of text.h.
#include <algorithm>
#include <iterator>

#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr char32_t kReplacement = 0xfffd;

// Length and value of the code point at the start of `text`; length 0 when it is invalid.
// Table 3-7 of the Unicode Standard: the range of the second byte excludes overlong forms and surrogates.
std::size_t decode(std::string_view text, char32_t& value) {
  auto byte = [&](std::size_t i) {
    return static_cast<unsigned char>(text[i]);
  };
  unsigned char first = byte(0);
  if (first < 0x80) {
    value = first;
    return 1;
  }
  std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  value = first & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    value = (value << 6) | (byte(i) & 0x3f);
  }
  return length;
}

struct Range {
  char32_t first, last;
};

// Combining marks, joiners and variation selectors of the common scripts.
constexpr Range kZeroWidth[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489},   {0x0591, 0x05bd},   {0x0610, 0x061a}, {0x064b, 0x065f},
    {0x06d6, 0x06dc}, {0x093c, 0x093c},   {0x0941, 0x0948},   {0x094d, 0x094d}, {0x0e31, 0x0e31},
    {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e},   {0x1ab0, 0x1aff},   {0x1dc0, 0x1dff}, {0x200b, 0x200f},
    {0x202a, 0x202e}, {0x2060, 0x2064},   {0x20d0, 0x20ff},   {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
    {0xfeff, 0xfeff}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef},
};

// East Asian Width W and F, and emoji shown in two columns.
constexpr Range kWide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x25fd, 0x25fe},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},   {0x2705, 0x2705},
    {0x270a, 0x270b},   {0x2728, 0x2728},   {0x274c, 0x274c},   {0x2753, 0x2755},   {0x2795, 0x2797},
    {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},
    {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
    {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff},
    {0x20000, 0x2fffd}, {0x30000, 0x3fffd},
};

template <std::size_t N>
bool within(const Range (&ranges)[N], char32_t c) {
  auto after = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                [](char32_t value, const Range& range) { return value < range.first; });
  return after != std::begin(ranges) && c <= std::prev(after)->last;
}

}  // namespace

std::size_t first_invalid_utf8(std::string_view text) {
  char32_t value;
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      i++;
      continue;
    }
    std::size_t length = decode(text.substr(i), value);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

bool is_utf8(std::string_view text) {
  return first_invalid_utf8(text) == std::string_view::npos;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  char32_t value = kReplacement;
  std::size_t length = decode(text.substr(position), value);
  if (length == 0) value = kReplacement;
  position += std::max<std::size_t>(length, 1);
  return value;
}

std::vector<char32_t> code_points(std::string_view utf8) {
  std::vector<char32_t> result;
  for (std::size_t i = 0; i < utf8.size();) result.push_back(next_code_point(utf8, i));
  return result;
}

std::size_t count_code_points(std::string_view utf8) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < utf8.size(); ++count) next_code_point(utf8, i);
  return count;
}

std::vector<std::string> split_code_points(std::string_view utf8) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < utf8.size();) {
    std::size_t start = i;
    next_code_point(utf8, i);
    result.emplace_back(utf8.substr(start, i - start));
  }
  return result;
}

void append_utf8(std::string& text, char32_t c) {
  if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) c = kReplacement;
  auto tail = [&](int shift) {
    text += static_cast<char>(0x80 | ((c >> shift) & 0x3f));
  };
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xc0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    text += static_cast<char>(0xe0 | (c >> 12));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xf0 | (c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

int display_width(char32_t c) {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0) || within(kZeroWidth, c)) return 0;
  return within(kWide, c) ? 2 : 1;
}

int display_width(std::string_view utf8) {
  int width = 0;
  for (std::size_t i = 0; i < utf8.size();) width += display_width(next_code_point(utf8, i));
  return width;
}

}  // namespace qkv
