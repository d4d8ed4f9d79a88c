#include "data/split.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

struct Range {
  char32_t first, last;
};
constexpr Range kSpaces[] = {
    {'\t', '\r'},     {' ', ' '},       {0x85, 0x85},     {0xA0, 0xA0},
    {0x1680, 0x1680}, {0x2000, 0x200B}, {0x2028, 0x2029}, {0x202F, 0x202F},
    {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF},
};
// Controls, punctuation and symbols; what is in neither table is W.
constexpr Range kPunctuation[] = {
    {0x00, 0x08},       {0x0E, 0x1F},     {'!', '/'},       {':', '@'},       {'[', '`'},
    {'{', 0x84},        {0x86, 0x9F},     {0xA1, 0xA9},     {0xAB, 0xB4},     {0xB6, 0xB9},
    {0xBB, 0xBF},       {0xD7, 0xD7},     {0xF7, 0xF7},     {0x200E, 0x2027}, {0x202A, 0x202E},
    {0x2030, 0x205E},   {0x2060, 0x206F}, {0x20A0, 0x20CF}, {0x2190, 0x2BFF}, {0x2E00, 0x2E7F},
    {0x3001, 0x3004},   {0x3008, 0x3020}, {0x3030, 0x3030}, {0xFE10, 0xFE19}, {0xFE30, 0xFE6F},
    {0xFF01, 0xFF0F},   {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFFC, 0xFFFD},
    {0x1F000, 0x1FAFF},
};

template <std::size_t N>
bool in(const Range (&ranges)[N], char32_t c) {
  auto at = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                             [](const Range& range, char32_t value) { return range.last < value; });
  return at != std::end(ranges) && at->first <= c;
}

enum class Kind : std::uint8_t { word, space, punctuation };

Kind look_up(char32_t c) {
  return in(kSpaces, c) ? Kind::space : in(kPunctuation, c) ? Kind::punctuation : Kind::word;
}

// Nearly every character is ASCII: one load instead of two searches.
Kind kind_of(char32_t c) {
  static const auto ascii = [] {
    std::array<Kind, 128> kinds{};
    for (char32_t a = 0; a < 128; a++) kinds[a] = look_up(a);
    return kinds;
  }();
  return c < 128 ? ascii[c] : look_up(c);
}

bool is_space(char32_t c) {
  return kind_of(c) == Kind::space;
}
bool is_digit(char32_t c) {
  return c >= '0' && c <= '9';
}
bool is_ascii_letter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_apostrophe(char32_t c) {
  return c == '\'' || c == 0x2019;
}
bool is_word(char32_t c) {
  return c != 0 && kind_of(c) == Kind::word;
}

// Reads on from a position; U+0000 stands for the end.
class Scanner {
 public:
  Scanner(std::string_view text, std::size_t position) : text_(text), position_(position) {}
  char32_t peek() const {
    if (position_ >= text_.size()) return 0;
    if (const auto byte = static_cast<unsigned char>(text_[position_]); byte < 0x80) return byte;
    std::size_t next = position_;
    return next_code_point(text_, next);
  }
  Scanner next() const {
    Scanner result = *this;
    if (position_ >= text_.size()) return result;
    if (static_cast<unsigned char>(text_[position_]) < 0x80)
      result.position_++;
    else
      next_code_point(text_, result.position_);
    return result;
  }
  std::size_t position() const { return position_; }
  template <class Is>
  void skip(Is is) {
    while (peek() != 0 && is(peek())) *this = next();
  }

 private:
  std::string_view text_;
  std::size_t position_;
};

// The rules, in their order; each moves behind what it matches, or leaves the scanner alone.

bool abbreviation(Scanner& at) {
  int parts = 0;
  Scanner end = at;
  for (; is_ascii_letter(end.peek()) && end.next().peek() == '.'; ++parts) end = end.next().next();
  if (parts < 2) return false;
  at = end;
  return true;
}

bool number(Scanner& at) {
  Scanner end = at;
  end.skip(is_digit);
  if (end.position() == at.position()) return false;
  bool inner = false;
  while ((end.peek() == '.' || end.peek() == ',') && is_digit(end.next().peek())) {
    end = end.next();
    end.skip(is_digit);
    inner = true;
  }
  if (inner) at = end;
  return inner;
}

bool possessive(Scanner& at) {
  if (!is_apostrophe(at.peek())) return false;
  const Scanner letter = at.next();
  if ((letter.peek() != 's' && letter.peek() != 'S') || is_word(letter.next().peek())) return false;
  at = letter.next();
  return true;
}

bool word(Scanner& at) {
  if (!is_word(at.peek())) return false;
  at.skip(is_word);
  for (Scanner end = at; is_apostrophe(end.peek()) && is_word(end.next().peek()) && !possessive(end);
       at = end) {
    end = end.next();
    end.skip(is_word);
  }
  return true;
}

void punctuation(Scanner& at) {
  const char32_t c = at.peek();
  at = at.next();
  at.skip([&](char32_t other) { return other == c; });
}

std::string regex_class(const Range* begin, const Range* end) {
  std::string text;
  for (const Range* range = begin; range != end; ++range)
    for (char32_t c : {range->first, range->last}) {
      if (c < 0x80)
        text += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
      else
        append_utf8(text, c);
      if (c == range->first) text += '-';
      if (range->first == range->last) {
        text.pop_back();
        break;
      }
    }
  return text;
}

}  // namespace

std::vector<std::string_view> split_text(std::string_view text) {
  const std::size_t bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos)
    fail(Fault::data, "split: text must be UTF-8; got byte 0x{:02x} at byte {}",
         static_cast<unsigned char>(text[bad]), bad);
  std::vector<std::string_view> tokens;
  for (Scanner at(text, 0); at.position() < text.size();) {
    if (is_space(at.peek())) {
      at = at.next();
      continue;
    }
    const std::size_t begin = at.position();
    if (!abbreviation(at) && !number(at) && !possessive(at) && !word(at)) punctuation(at);
    tokens.push_back(text.substr(begin, at.position() - begin));
  }
  return tokens;
}

const std::string& split_regex() {
  static const std::string regex = [] {
    const std::string space = regex_class(std::begin(kSpaces), std::end(kSpaces));
    const std::string w = "[^" + space + regex_class(std::begin(kPunctuation), std::end(kPunctuation)) + "]";
    const std::string s = "['\u2019][sS](?!" + w + ")";
    return "(?:[A-Za-z]\\.){2,}|[0-9]+(?:[.,][0-9]+)+|" + s + "|" + w + "+(?:(?!" + s + ")['\u2019]" + w +
           "+)*|([^" + space + "])\\1*";
  }();
  return regex;
}

}  // namespace qkv
