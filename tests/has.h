// Whether a text holds another one.
#pragma once
#include <string>

namespace qkv::test {

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace qkv::test
