#include "byte_level.h"

#include <array>

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

}  // namespace qkv
