// Text as TOML writes it, for those who put a config together.
#pragma once
#include <string>
#include <string_view>

namespace qkv {

/// A basic string, with quotes and escapes: say \"hi\".
std::string toml_string(std::string_view text);

}  // namespace qkv
