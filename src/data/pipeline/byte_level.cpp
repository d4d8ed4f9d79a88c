#include "byte_level.h"

#include <array>

#include "data/unicode.h"
#include "qkv/base/text.h"

namespace qkv {

namespace {

constexpr int kBytes = 256, kFirstOther = 0x100;

bool stands_for_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

std::vector<char32_t> letters() {
  std::vector<char32_t> result;
  int other = kFirstOther;
  for (int byte = 0; byte < kBytes; ++byte)
    result.push_back(static_cast<char32_t>(stands_for_itself(byte) ? byte : other++));
  return result;
}

enum class Kind { letter, number, white, other };

Kind look_up(char32_t c) {
  return unicode::is_white(c)    ? Kind::white
         : unicode::is_letter(c) ? Kind::letter
         : unicode::is_number(c) ? Kind::number
                                 : Kind::other;
}

Kind kind_of(char32_t c) {
  static const auto ascii = [] {
    std::array<Kind, 128> kinds{};
    for (char32_t a = 0; a < 128; ++a) kinds[a] = look_up(a);
    return kinds;
  }();
  return c < 128 ? ascii[c] : look_up(c);
}

// Bytes of the contraction that the text begins with.
std::size_t contraction(std::string_view text) {
  for (std::string_view tail : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (starts_with(text, tail)) return tail.size();
  return 0;
}

}  // namespace

const std::vector<std::string>& byte_letters() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> result(kBytes);
    for (int byte = 0; byte < kBytes; ++byte)
      append_utf8(result[static_cast<std::size_t>(byte)], letters()[static_cast<std::size_t>(byte)]);
    return result;
  }();
  return all;
}

std::string to_letters(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size() + bytes.size() / 4);
  for (char byte : bytes) result += byte_letters()[static_cast<unsigned char>(byte)];
  return result;
}

std::string from_letters(std::string_view text) {
  static const std::array<int, 0x180> bytes = [] {
    std::array<int, 0x180> result;
    result.fill(-1);
    for (int byte = 0; byte < kBytes; ++byte) result[letters()[static_cast<std::size_t>(byte)]] = byte;
    return result;
  }();
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c < bytes.size() && bytes[c] >= 0)
      result += static_cast<char>(bytes[c]);
    else
      append_utf8(result, c);
  }
  return result;
}

std::string repaired(std::string_view bytes) {
  std::string result;
  while (true) {
    const std::size_t bad = first_invalid_utf8(bytes);
    result += bytes.substr(0, bad);
    if (bad == std::string_view::npos) return result;
    append_utf8(result, 0xFFFD);
    bytes.remove_prefix(bad + 1);
    while (!bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0xC0) == 0x80) bytes.remove_prefix(1);
  }
}

void gpt2_pieces(std::string_view text, const std::function<void(std::string_view)>& take) {
  // Where the run of this kind that begins at a place ends, and where its last character does.
  auto run = [&](std::size_t at, Kind kind) {
    std::pair<std::size_t, std::size_t> ends{at, at};
    for (std::size_t next = at; at < text.size() && kind_of(next_code_point(text, next)) == kind; at = next)
      ends = {next, at};
    return ends;
  };
  auto kind_at = [&](std::size_t at) {
    return kind_of(next_code_point(text, at));
  };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + (text[at] == '\'' ? contraction(text.substr(at)) : 0);
    const std::size_t word = at + (text[at] == ' ' ? 1 : 0);
    if (end == at && word < text.size() && kind_at(word) != Kind::white) end = run(word, kind_at(word)).first;
    if (end == at) {  // white space; its last character goes with the word that follows
      const auto [last, before] = run(at, Kind::white);
      end = last < text.size() && before > at ? before : last;
    }
    take(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace qkv
