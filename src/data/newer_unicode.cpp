// Unicode 15 to 16, for an Oniguruma that stops at 14.
#include <algorithm>
#include <iterator>

#include "qkv/base/text.h"
#include "unicode.h"

namespace qkv::unicode {
namespace {

// Kinds: 'U', 'l', 'm', 'o' letters (capital, small, modifier, other), 'M' marks, 'd' digits, 'n' other
// numbers, 'P' punctuation, 'S' symbols.
struct Newer {
  char32_t first, last;
  char kind;
};
constexpr Newer kNewer[] = {
    {0x897, 0x897, 'M'},     {0xcf3, 0xcf3, 'M'},     {0xece, 0xece, 'M'},     {0x1b4e, 0x1b4f, 'P'},
    {0x1b7f, 0x1b7f, 'P'},   {0x1c89, 0x1c89, 'U'},   {0x1c8a, 0x1c8a, 'l'},   {0x2427, 0x2429, 'S'},
    {0x2ffc, 0x2fff, 'S'},   {0x31e4, 0x31e5, 'S'},   {0x31ef, 0x31ef, 'S'},   {0xa7cb, 0xa7cc, 'U'},
    {0xa7cd, 0xa7cd, 'l'},   {0xa7da, 0xa7da, 'U'},   {0xa7db, 0xa7db, 'l'},   {0xa7dc, 0xa7dc, 'U'},
    {0x105c0, 0x105f3, 'o'}, {0x10d40, 0x10d49, 'd'}, {0x10d4a, 0x10d4d, 'o'}, {0x10d4e, 0x10d4e, 'm'},
    {0x10d4f, 0x10d4f, 'o'}, {0x10d50, 0x10d65, 'U'}, {0x10d69, 0x10d6d, 'M'}, {0x10d6e, 0x10d6e, 'P'},
    {0x10d6f, 0x10d6f, 'm'}, {0x10d70, 0x10d85, 'l'}, {0x10d8e, 0x10d8f, 'S'}, {0x10ec2, 0x10ec4, 'o'},
    {0x10efc, 0x10eff, 'M'}, {0x1123f, 0x11240, 'o'}, {0x11241, 0x11241, 'M'}, {0x11380, 0x11389, 'o'},
    {0x1138b, 0x1138b, 'o'}, {0x1138e, 0x1138e, 'o'}, {0x11390, 0x113b5, 'o'}, {0x113b7, 0x113b7, 'o'},
    {0x113b8, 0x113c0, 'M'}, {0x113c2, 0x113c2, 'M'}, {0x113c5, 0x113c5, 'M'}, {0x113c7, 0x113ca, 'M'},
    {0x113cc, 0x113d0, 'M'}, {0x113d1, 0x113d1, 'o'}, {0x113d2, 0x113d2, 'M'}, {0x113d3, 0x113d3, 'o'},
    {0x113d4, 0x113d5, 'P'}, {0x113d7, 0x113d8, 'P'}, {0x113e1, 0x113e2, 'M'}, {0x116d0, 0x116e3, 'd'},
    {0x11b00, 0x11b09, 'P'}, {0x11bc0, 0x11be0, 'o'}, {0x11be1, 0x11be1, 'P'}, {0x11bf0, 0x11bf9, 'd'},
    {0x11f00, 0x11f01, 'M'}, {0x11f02, 0x11f02, 'o'}, {0x11f03, 0x11f03, 'M'}, {0x11f04, 0x11f10, 'o'},
    {0x11f12, 0x11f33, 'o'}, {0x11f34, 0x11f3a, 'M'}, {0x11f3e, 0x11f42, 'M'}, {0x11f43, 0x11f4f, 'P'},
    {0x11f50, 0x11f59, 'd'}, {0x11f5a, 0x11f5a, 'M'}, {0x1342f, 0x1342f, 'o'}, {0x13440, 0x13440, 'M'},
    {0x13441, 0x13446, 'o'}, {0x13447, 0x13455, 'M'}, {0x13460, 0x143fa, 'o'}, {0x16100, 0x1611d, 'o'},
    {0x1611e, 0x1612f, 'M'}, {0x16130, 0x16139, 'd'}, {0x16d40, 0x16d42, 'm'}, {0x16d43, 0x16d6a, 'o'},
    {0x16d6b, 0x16d6c, 'm'}, {0x16d6d, 0x16d6f, 'P'}, {0x16d70, 0x16d79, 'd'}, {0x18cff, 0x18cff, 'o'},
    {0x1b132, 0x1b132, 'o'}, {0x1b155, 0x1b155, 'o'}, {0x1cc00, 0x1ccef, 'S'}, {0x1ccf0, 0x1ccf9, 'd'},
    {0x1cd00, 0x1ceb3, 'S'}, {0x1d2c0, 0x1d2d3, 'n'}, {0x1df25, 0x1df2a, 'l'}, {0x1e030, 0x1e06d, 'm'},
    {0x1e08f, 0x1e08f, 'M'}, {0x1e4d0, 0x1e4ea, 'o'}, {0x1e4eb, 0x1e4eb, 'm'}, {0x1e4ec, 0x1e4ef, 'M'},
    {0x1e4f0, 0x1e4f9, 'd'}, {0x1e5d0, 0x1e5ed, 'o'}, {0x1e5ee, 0x1e5ef, 'M'}, {0x1e5f0, 0x1e5f0, 'o'},
    {0x1e5f1, 0x1e5fa, 'd'}, {0x1e5ff, 0x1e5ff, 'P'}, {0x1f6dc, 0x1f6dc, 'S'}, {0x1f774, 0x1f776, 'S'},
    {0x1f77b, 0x1f77f, 'S'}, {0x1f7d9, 0x1f7d9, 'S'}, {0x1f8b2, 0x1f8bb, 'S'}, {0x1f8c0, 0x1f8c1, 'S'},
    {0x1fa75, 0x1fa77, 'S'}, {0x1fa87, 0x1fa89, 'S'}, {0x1fa8f, 0x1fa8f, 'S'}, {0x1faad, 0x1faaf, 'S'},
    {0x1fabb, 0x1fabf, 'S'}, {0x1fac6, 0x1fac6, 'S'}, {0x1face, 0x1facf, 'S'}, {0x1fada, 0x1fadc, 'S'},
    {0x1fadf, 0x1fadf, 'S'}, {0x1fae8, 0x1fae9, 'S'}, {0x1faf7, 0x1faf8, 'S'}, {0x1fbcb, 0x1fbef, 'S'},
    {0x2b739, 0x2b739, 'o'}, {0x2ebf0, 0x2ee5d, 'o'}, {0x31350, 0x323af, 'o'}};

// An older character of each kind, in 3 bytes and in 4.
struct StandIn {
  char kind;
  char32_t three, four;
};
constexpr StandIn kStandIns[] = {{'U', 0x1e00, 0x10400}, {'l', 0x1e01, 0x10428}, {'m', 0x1d2c, 0x16b40},
                                 {'o', 0x3400, 0x10450}, {'M', 0x816, 0x1d167},  {'d', 0x1810, 0x104a0},
                                 {'n', 0x2460, 0x10107}, {'P', 0x2016, 0x10100}, {'S', 0x2300, 0x1d000}};

char kind_of(char32_t c) {
  const auto* at = std::lower_bound(std::begin(kNewer), std::end(kNewer), c,
                                    [](const Newer& range, char32_t value) { return range.last < value; });
  return at != std::end(kNewer) && at->first <= c ? at->kind : '\0';
}

}  // namespace

bool is_newer_letter(char32_t c) {
  const char kind = kind_of(c);
  return kind == 'U' || kind == 'l' || kind == 'm' || kind == 'o';
}

bool is_newer_number(char32_t c) {
  const char kind = kind_of(c);
  return kind == 'd' || kind == 'n';
}

std::string with_stand_ins(std::string_view text) {
  std::string result(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    const char kind = c < kNewer[0].first ? '\0' : kind_of(c);
    if (kind == '\0') continue;
    const auto* other = std::find_if(std::begin(kStandIns), std::end(kStandIns),
                                     [&](const StandIn& s) { return s.kind == kind; });
    std::string stand_in;
    append_utf8(stand_in, c < 0x10000 ? other->three : c < 0x20000 ? other->four : 0x2f800);
    result.replace(begin, stand_in.size(), stand_in);
  }
  return result;
}

}  // namespace qkv::unicode
