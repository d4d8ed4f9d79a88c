#include "qkv/base/text.h"

#include <fmt/ranges.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "qkv/base/error.h"

namespace qkv {
namespace {

constexpr std::size_t kFewNames = 12;

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

template <class T>
std::string shortest_of(T value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer;
  std::string text(buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

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
  value = char32_t(code);
  return length < 0 ? 0 : std::size_t(length);
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // d[i][j] = min(d[i-1][j] + 1, d[i][j-1] + 1, d[i-1][j-1] + (a_i != b_j), d[i-2][j-2] + 1 if swapped);
  // three rows.
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before.swap(previous);
    previous.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string wanted = lower_ascii(name);
  std::size_t best = std::max<std::size_t>(1, wanted.size() / 3) + 1;
  std::string found;
  for (const auto& candidate : candidates) {
    std::size_t longer = std::max(wanted.size(), candidate.size());
    if (longer - std::min(wanted.size(), candidate.size()) >= best) continue;
    std::size_t distance = edit_distance(wanted, lower_ascii(candidate));
    // A name of which every letter would change is no suggestion: 'z' is not 'x'.
    if (distance >= best || distance >= longer) continue;
    best = distance;
    found = candidate;
  }
  return found;
}

std::string suggest(std::string_view name, const std::vector<std::string>& candidates) {
  std::string found = nearest(name, candidates);
  if (found.empty() && name.size() > 2) {  // the beginning of a name, and of no other
    const auto begins = [&](const std::string& candidate) {
      return starts_with(candidate, name);
    };
    if (std::count_if(candidates.begin(), candidates.end(), begins) == 1)
      found = *std::find_if(candidates.begin(), candidates.end(), begins);
  }
  if (!found.empty()) return fmt::format(" (did you mean '{}'?)", found);
  if (candidates.empty() || candidates.size() > kFewNames) return "";
  return fmt::format(" (known: {})", join(candidates, ", "));
}

std::string in_quotes(std::string_view text, std::size_t limit) {
  std::string result = "'";
  for (std::size_t i = 0; i < text.size();) {
    if (result.size() > limit) return result + "...'";
    std::size_t start = i;
    char32_t c = next_code_point(text, i);
    bool bad = c < 0x20 || (c >= 0x7f && c < 0xa0) || (c == 0xfffd && i - start == 1);
    if (!bad) {
      result += text.substr(start, i - start);
      continue;
    }
    for (; start < i; ++start) result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[start]));
  }
  return result + "'";
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string> split_words(std::string_view text) {
  const std::vector<std::string_view> words = word_views(text);
  return {words.begin(), words.end()};
}

std::vector<std::string_view> word_views(std::string_view text) {
  std::vector<std::string_view> words;
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); (at = std::find_if_not(at, end, is_space)) != end;) {
    const char* const begin = std::exchange(at, std::find_if(at, end, is_space));
    words.emplace_back(begin, std::size_t(at - begin));
  }
  return words;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator, std::size_t most) {
  if (parts.size() <= most) return fmt::format("{}", fmt::join(parts, separator));
  const auto end = parts.begin() + std::ptrdiff_t(most);
  return fmt::format("{}{}{} more", fmt::join(parts.begin(), end, separator), separator, parts.size() - most);
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (std::size_t at; (at = text.find(from)) != std::string_view::npos; text.remove_prefix(at + from.size()))
    result.append(text.substr(0, at)).append(to);
  return result.append(text);
}

std::string lower_ascii(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = char(c + ('a' - 'A'));
  return result;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

std::string shortest(float value) {
  return shortest_of(value);
}
std::string shortest(double value) {
  return shortest_of(value);
}

// ---- UTF-8

std::size_t first_invalid_utf8(std::string_view text) {
  char32_t value;
  for (std::size_t i = 0, length; i < text.size(); i += length) {
    for (std::uint64_t eight; text.size() - i >= sizeof eight; i += sizeof eight) {  // ASCII
      std::memcpy(&eight, text.data() + i, sizeof eight);
      if (eight & 0x8080808080808080u) break;
    }
    if (i == text.size()) break;
    if ((length = decode(text.substr(i), value)) == 0) return i;
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
  text.append(reinterpret_cast<const char*>(bytes), std::size_t(n));
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
