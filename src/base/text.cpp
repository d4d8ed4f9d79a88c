#include "qkv/base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

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
  auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
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
  if (found.empty() && name.size() > 2)  // the beginning of a name, and of no other
    for (const auto& candidate : candidates)
      if (starts_with(candidate, name)) {
        if (!found.empty()) {
          found.clear();
          break;
        }
        found = candidate;
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
  for (std::size_t i = 0; i < text.size();) {
    if (is_space(text[i])) {
      ++i;
      continue;
    }
    std::size_t start = i;
    while (i < text.size() && !is_space(text[i])) ++i;
    words.push_back(text.substr(start, i - start));
  }
  return words;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string result;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) result += separator;
    result += parts[i];
  }
  return result;
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
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return result;
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

}  // namespace qkv
