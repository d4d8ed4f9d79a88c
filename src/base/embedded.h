// Files that the library carries within itself; cmake/embed.cmake makes the sources that define them.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace qkv {

/// (path, text) in the order of cmake's list.
using EmbeddedFiles = std::vector<std::pair<std::string, std::string>>;

}  // namespace qkv
