// The text with every `from` replaced.
#pragma once
#include <string>
#include <string_view>

namespace qkv {

/// `to` for every `from`, left to right; in a time that grows as the text does.
inline std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (std::size_t at; (at = text.find(from)) != std::string_view::npos; text.remove_prefix(at + from.size()))
    result.append(text.substr(0, at)).append(to);
  return result.append(text);
}

}  // namespace qkv
