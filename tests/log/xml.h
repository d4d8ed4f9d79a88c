// Whether a text is well-formed XML, as far as pictures need it.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/text.h"

namespace qkv {

// What is wrong with a document as XML of elements, attributes in double quotes and text; "" where nothing
// is.
inline std::string xml_fault(const std::string& xml) {
  if (!is_utf8(xml)) return "is no UTF-8";
  for (char32_t c : code_points(xml))
    if ((c < 0x20 && c != '\n') || (c >= 0x7f && c <= 0x9f) || c == 0xfffe || c == 0xffff)
      return "has a character that XML does not allow";
  std::vector<std::string> open;
  const auto plain = [](std::string text) {
    for (const char* entity : {"&amp;", "&lt;", "&gt;", "&quot;"}) text = replace_all(text, entity, "");
    return text.find_first_of("&<\"") == std::string::npos;
  };
  for (std::size_t at = 0; at < xml.size();) {
    const std::size_t begin = xml.find('<', at), end = xml.find('>', begin);
    if (begin == std::string::npos)
      return trim(xml.substr(at)).empty() && open.empty() ? "" : "is not closed";
    if (!plain(xml.substr(at, begin - at))) return "has markup in a text";
    if (end == std::string::npos) return "has an open tag";
    const std::string tag = xml.substr(begin + 1, end - begin - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "closes " + tag.substr(1);
      open.pop_back();
    } else {
      const std::vector<std::string> parts = split(tag, '"');  // before a value, the value, ...
      if (parts.size() % 2 == 0) return "has an open quote in " + tag;
      for (std::size_t i = 1; i < parts.size(); i += 2)
        if (!ends_with(parts[i - 1], "=") || !plain(parts[i])) return "has a wrong attribute in " + tag;
      if (tag.back() != '/') open.push_back(name);
    }
    at = end + 1;
  }
  return open.empty() ? "" : "is not closed";
}

}  // namespace qkv
