#include "unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv::unicode {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

struct Range {
  char32_t first, last;
};

// The published code knows older versions of Unicode. Marks, punctuation and format characters that came
// after version 8, which is BERT's; what lies between is of another kind.
constexpr Range kAfter8[] = {
    {0x61d, 0x61d},     {0x7fd, 0x7fd},     {0x890, 0x8e2},     {0x9fd, 0x9fe},     {0xa76, 0xa76},
    {0xafa, 0xaff},     {0xb55, 0xb55},     {0xc04, 0xc3c},     {0xc77, 0xc77},     {0xc84, 0xc84},
    {0xcf3, 0xd00},     {0xd3b, 0xd3c},     {0xd81, 0xd81},     {0xeba, 0xeba},     {0xece, 0xece},
    {0x1715, 0x1715},   {0x180f, 0x1886},   {0x1abf, 0x1ace},   {0x1b7d, 0x1b7e},   {0x1cf7, 0x1cf7},
    {0x1df6, 0x1dfb},   {0x2e43, 0x2e5d},   {0xa82c, 0xa82c},   {0xa8c5, 0xa8c5},   {0xa8ff, 0xa8ff},
    {0xa9bd, 0xa9bd},   {0x10d24, 0x10f89}, {0x11070, 0x11074}, {0x110c2, 0x110cd}, {0x11145, 0x11146},
    {0x111c9, 0x111c9}, {0x111ce, 0x111cf}, {0x1123e, 0x11241}, {0x1133b, 0x1133b}, {0x11438, 0x1143f},
    {0x11442, 0x11444}, {0x11446, 0x1145e}, {0x11660, 0x1166c}, {0x116b9, 0x116b9}, {0x1182c, 0x11b09},
    {0x11c30, 0x11c3d}, {0x11c3f, 0x11ca7}, {0x11caa, 0x11cb0}, {0x11cb2, 0x11cb3}, {0x11cb5, 0x11fff},
    {0x12ff1, 0x13455}, {0x16e97, 0x16f4f}, {0x16f7f, 0x16f87}, {0x16fe2, 0x16ff1}, {0x1cf00, 0x1cf46},
    {0x1e000, 0x1e4ef}, {0x1e944, 0x1e95f}};
// Those of version 9, which StripAccents and the normal forms know.
constexpr Range kOf9[] = {{0x8d4, 0x8e1},     {0x1885, 0x1886},   {0x1dfb, 0x1dfb},   {0xa8c5, 0xa8c5},
                          {0xa9bd, 0xa9bd},   {0x1123e, 0x1123e}, {0x11438, 0x1143f}, {0x11442, 0x11444},
                          {0x11446, 0x11446}, {0x11c30, 0x11c3d}, {0x11c3f, 0x11c3f}, {0x11c92, 0x11ca7},
                          {0x11caa, 0x11cb0}, {0x11cb2, 0x11cb3}, {0x11cb5, 0x11cb6}, {0x1e000, 0x1e02a},
                          {0x1e944, 0x1e94a}};
// Characters whose decomposition they do not know.
constexpr Range kWhole[] = {{0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},   {0xab69, 0xab69},   {0x10781, 0x107ba},
                            {0x11938, 0x11938}, {0x1e030, 0x1e06d}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9}};
// Capital letters that came after version 15, which is utf8proc's, with the distance to the small ones.
struct Capitals {
  char32_t first, last, step, distance;
};
constexpr Capitals kCapitals[] = {
    {0x1c89, 0x1c89, 1, 1}, {0xa7cc, 0xa7da, 2, 1}, {0x10d50, 0x10d65, 1, 0x20}, {0x16ea0, 0x16eb8, 1, 0x1b}};

template <std::size_t N>
bool in(const Range (&ranges)[N], char32_t c) {
  const auto at = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                   [](const Range& range, char32_t value) { return range.last < value; });
  return at != std::end(ranges) && at->first <= c;
}

bool is_new_mark(char32_t c) {
  return in(kAfter8, c) && !in(kOf9, c);
}

}  // namespace

bool is_white(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  const utf8proc_category_t k = category(c);
  return c == 0x85 || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

bool is_other(char32_t c) {
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_CC && k <= UTF8PROC_CATEGORY_CO && !in(kAfter8, c);
}

bool is_punctuation(char32_t c) {
  const utf8proc_category_t k = category(c);
  if (c == 0x166D || c == 0x111C9) return true;  // was in version 8
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO && !in(kAfter8, c);
}

bool is_mark(char32_t c) {
  const utf8proc_category_t k = category(c);
  if (c == 0x1CF2 || c == 0x1CF3) return true;
  return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME && !is_new_mark(c);
}

bool is_nonspacing_mark(char32_t c) {
  return c == 0x1734 || (category(c) == UTF8PROC_CATEGORY_MN && !in(kAfter8, c));
}

bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2CEAF && (c < 0x2B820 || c > 0x2B91F)) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

std::string lower(std::string_view text) {
  auto small = [](char32_t c) {
    if (c == 0xA7CB) return char32_t{0x264};
    if (c == 0xA7DC) return char32_t{0x19B};
    for (const Capitals& some : kCapitals)
      if (c >= some.first && c <= some.last && (c - some.first) % some.step == 0)
        return static_cast<char32_t>(c + some.distance);
    return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  };
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c < 0x80)
      result += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    else if (c == 0x130)  // the only character whose lower case is two
      result += "i\u0307";
    else
      append_utf8(result, small(c));
  }
  return result;
}

// Decomposed, marks in their order, composed again where the form says so. utf8proc puts marks in order by
// insertion, which takes ages after some thousand: they come to it in order.
std::string normal_form(std::string_view text, std::string_view form) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
    return std::string(text);
  const bool compat = form.size() == 4;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | (form.back() == 'C' ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
      (compat ? UTF8PROC_COMPAT : 0));
  const auto class_of = [](utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
  };
  std::string result;
  std::vector<utf8proc_int32_t> buffer;
  auto flush = [&] {
    for (auto at = buffer.begin(); at != buffer.end();) {
      const auto end = std::find_if(at, buffer.end(), [&](auto c) { return class_of(c) == 0; });
      std::stable_sort(at, end, [&](auto a, auto b) { return class_of(a) < class_of(b); });
      at = end == buffer.end() ? end : end + 1;
    }
    const auto n =
        utf8proc_normalize_utf32(buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()), options);
    QKV_CHECK(n >= 0, "tokenizer: text must be Unicode; got {}", utf8proc_errmsg(n));
    for (utf8proc_ssize_t i = 0; i < n; ++i)
      append_utf8(result, static_cast<char32_t>(buffer[static_cast<std::size_t>(i)]));
    buffer.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool mark = category(c) >= UTF8PROC_CATEGORY_MN && category(c) <= UTF8PROC_CATEGORY_ME;
    if (c >= 0x300 && (in(kWhole, c) || (mark && is_new_mark(c)))) {
      flush();
      append_utf8(result, c);
      continue;
    }
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 32, options, &boundary);
    QKV_CHECK(n >= 0 && n <= 32, "tokenizer: text must be Unicode; got {}", utf8proc_errmsg(n));
    buffer.insert(buffer.end(), parts, parts + n);
  }
  flush();
  return result;
}

}  // namespace qkv::unicode
