#include "unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv::unicode {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// Code points, as "300-36f 483" lists them in hexadecimal.
class Ranges {
 public:
  explicit Ranges(std::string_view text) {
    for (const std::string& word : split_words(text)) {
      std::size_t dash = 0;
      const auto first = char32_t(std::stoul(word, &dash, 16));
      const bool one = dash == word.size();
      ranges_.emplace_back(first, one ? first : char32_t(std::stoul(word.substr(dash + 1), nullptr, 16)));
    }
  }
  bool has(char32_t c) const {
    const auto at = std::lower_bound(ranges_.begin(), ranges_.end(), c,
                                     [](const auto& range, char32_t value) { return range.second < value; });
    return at != ranges_.end() && at->first <= c;
  }

 private:
  std::vector<std::pair<char32_t, char32_t>> ranges_;
};

// The published code knows older versions of Unicode. Marks, punctuation and format characters that came
// after version 8, which is BERT's; what lies between is of another kind.
const Ranges kAfter8(
    "61d 7fd 890-8e2 9fd-9fe a76 afa-aff b55 c04-c3c c77 c84 cf3-d00 d3b-d3c d81 eba ece 1715 "
    "180f-1886 1abf-1ace 1b7d-1b7e 1cf7 1df6-1dfb 2e43-2e5d a82c a8c5 a8ff a9bd 10d24-10f89 "
    "11070-11074 110c2-110cd 11145-11146 111c9 111ce-111cf 1123e-11241 1133b 11438-1143f 11442-11444 "
    "11446-1145e 11660-1166c 116b9 1182c-11b09 11c30-11c3d 11c3f-11ca7 11caa-11cb0 11cb2-11cb3 "
    "11cb5-11fff 12ff1-13455 16e97-16f4f 16f7f-16f87 16fe2-16ff1 1cf00-1cf46 1e000-1e4ef 1e944-1e95f");
// Those of version 9, which StripAccents and the normal forms know.
const Ranges kOf9(
    "8d4-8e1 1885-1886 1dfb a8c5 a9bd 1123e 11438-1143f 11442-11444 11446 11c30-11c3d 11c3f "
    "11c92-11ca7 11caa-11cb0 11cb2-11cb3 11cb5-11cb6 1e000-1e02a 1e944-1e94a");
// Characters whose decomposition they do not know.
const Ranges kWhole("32ff a7f2-a7f4 ab69 10781-107ba 11938 1e030-1e06d 1f16c 1fbf0-1fbf9");
// Capital letters that came after version 15, which is utf8proc's, with the distance to the small ones.
struct Capitals {
  char32_t first, last, step, distance;
};
constexpr Capitals kCapitals[] = {
    {0x1c89, 0x1c89, 1, 1}, {0xa7cc, 0xa7da, 2, 1}, {0x10d50, 0x10d65, 1, 0x20}, {0x16ea0, 0x16eb8, 1, 0x1b}};

// Characters of Unicode 15 to 16, for an Oniguruma that stops at 14: those of a kind, and an older one of the
// same kind in 3 bytes and in 4.
struct Newer {
  char32_t three, four;
  Ranges characters;
};
const Newer kNewer[] = {
    {0x1e00, 0x10400,  // capital
     Ranges("1c89 a7cb-a7cc a7da a7dc 10d50-10d65")},
    {0x1e01, 0x10428,  // small
     Ranges("1c8a a7cd a7db 10d70-10d85 1df25-1df2a")},
    {0x1d2c, 0x16b40,  // modifier letters
     Ranges("10d4e 10d6f 16d40-16d42 16d6b-16d6c 1e030-1e06d 1e4eb")},
    {0x3400, 0x10450,  // other letters
     Ranges("105c0-105f3 10d4a-10d4d 10d4f 10ec2-10ec4 1123f-11240 11380-11389 1138b 1138e 11390-113b5 "
            "113b7 113d1 113d3 11bc0-11be0 11f02 11f04-11f10 11f12-11f33 1342f 13441-13446 13460-143fa "
            "16100-1611d 16d43-16d6a 18cff 1b132 1b155 1e4d0-1e4ea 1e5d0-1e5ed 1e5f0 2b739 2ebf0-2ee5d "
            "31350-323af")},
    {0x816, 0x1d167,  // marks
     Ranges("897 cf3 ece 10d69-10d6d 10efc-10eff 11241 113b8-113c0 113c2 113c5 113c7-113ca 113cc-113d0 "
            "113d2 113e1-113e2 11f00-11f01 11f03 11f34-11f3a 11f3e-11f42 11f5a 13440 13447-13455 "
            "1611e-1612f 1e08f 1e4ec-1e4ef 1e5ee-1e5ef")},
    {0x1810, 0x104a0,  // digits
     Ranges("10d40-10d49 116d0-116e3 11bf0-11bf9 11f50-11f59 16130-16139 16d70-16d79 1ccf0-1ccf9 "
            "1e4f0-1e4f9 1e5f1-1e5fa")},
    {0x2460, 0x10107,  // other numbers
     Ranges("1d2c0-1d2d3")},
    {0x2016, 0x10100,  // punctuation
     Ranges("1b4e-1b4f 1b7f 10d6e 113d4-113d5 113d7-113d8 11b00-11b09 11be1 11f43-11f4f 16d6d-16d6f 1e5ff")},
    {0x2300, 0x1d000,  // symbols
     Ranges("2427-2429 2ffc-2fff 31e4-31e5 31ef 10d8e-10d8f 1cc00-1ccef 1cd00-1ceb3 1f6dc 1f774-1f776 "
            "1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 1fa87-1fa89 1fa8f 1faad-1faaf "
            "1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 1faf7-1faf8 1fbcb-1fbef")}};

bool is_new_mark(char32_t c) {
  return kAfter8.has(c) && !kOf9.has(c);
}

}  // namespace

bool is_white(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  const utf8proc_category_t k = category(c);
  return c == 0x85 || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

bool is_other(char32_t c) {
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_CC && k <= UTF8PROC_CATEGORY_CO && !kAfter8.has(c);
}

bool is_punctuation(char32_t c) {
  const utf8proc_category_t k = category(c);
  if (c == 0x166D || c == 0x111C9) return true;  // was in version 8
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO && !kAfter8.has(c);
}

bool is_mark(char32_t c) {
  const utf8proc_category_t k = category(c);
  if (c == 0x1CF2 || c == 0x1CF3) return true;
  return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME && !is_new_mark(c);
}

bool is_nonspacing_mark(char32_t c) {
  return c == 0x1734 || (category(c) == UTF8PROC_CATEGORY_MN && !kAfter8.has(c));
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
        return char32_t(c + some.distance);
    return char32_t(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  };
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c < 0x80)
      result += char(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    else if (c == 0x130)  // the only character whose lower case is two
      result += "i\u0307";
    else
      append_utf8(result, small(c));
  }
  return result;
}

std::string with_stand_ins(std::string_view text) {
  std::string result(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (c < 0x897) continue;  // the first of them
    for (const Newer& kind : kNewer) {
      if (!kind.characters.has(c)) continue;
      std::string stand_in;
      append_utf8(stand_in, c < 0x10000 ? kind.three : c < 0x20000 ? kind.four : 0x2f800);
      result.replace(begin, stand_in.size(), stand_in);
    }
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
    for (utf8proc_ssize_t i = 0; i < n; ++i) append_utf8(result, char32_t(buffer[std::size_t(i)]));
    buffer.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool mark = category(c) >= UTF8PROC_CATEGORY_MN && category(c) <= UTF8PROC_CATEGORY_ME;
    if (c >= 0x300 && (kWhole.has(c) || (mark && is_new_mark(c)))) {
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
