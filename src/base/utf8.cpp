// The UTF-8 half of text.h, by utf8proc.
#include <utf8proc.h>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr char32_t kReplacement = 0xfffd;

// Length and value of the code point at the start of `text`; length 0 when it is invalid.
std::size_t decode(std::string_view text, char32_t& value) {
  if (const auto first = static_cast<unsigned char>(text[0]); first < 0x80) {
    value = first;
    return 1;
  }
  utf8proc_int32_t code = 0;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &code);
  value = static_cast<char32_t>(code);
  return length < 0 ? 0 : static_cast<std::size_t>(length);
}

}  // namespace

std::size_t first_invalid_utf8(std::string_view text) {
  char32_t value;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = decode(text.substr(i), value);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

bool is_utf8(std::string_view text) {
  return first_invalid_utf8(text) == std::string_view::npos;
}

void check_utf8(std::string_view text, std::string_view where) {
  const std::size_t bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos)
    fail(Fault::data, "{}: text must be UTF-8; got byte 0x{:02x} at byte {}", where,
         static_cast<unsigned char>(text[bad]), bad);
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  char32_t value;
  const std::size_t length = decode(text.substr(position), value);
  position += length == 0 ? 1 : length;
  return length == 0 ? kReplacement : value;
}

std::vector<char32_t> code_points(std::string_view utf8) {
  std::vector<char32_t> result;
  for (std::size_t i = 0; i < utf8.size();) result.push_back(next_code_point(utf8, i));
  return result;
}

std::size_t count_code_points(std::string_view utf8) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < utf8.size(); count++) next_code_point(utf8, i);
  return count;
}

std::vector<std::string> split_code_points(std::string_view utf8) {
  std::vector<std::string> result;
  for (std::size_t i = 0, start = 0; i < utf8.size(); start = i) {
    next_code_point(utf8, i);
    result.emplace_back(utf8.substr(start, i - start));
  }
  return result;
}

void append_utf8(std::string& text, char32_t c) {
  if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) c = kReplacement;
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
}

int display_width(char32_t c) {
  return utf8proc_charwidth(static_cast<utf8proc_int32_t>(c));
}

int display_width(std::string_view utf8) {
  int width = 0;
  for (std::size_t i = 0; i < utf8.size();) width += display_width(next_code_point(utf8, i));
  return width;
}

}  // namespace qkv
