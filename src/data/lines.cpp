#include "qkv/data/lines.h"

#include <algorithm>

#include "qkv/base/file.h"
#include "qkv/base/text.h"

namespace qkv {

std::vector<std::string> read_lines(const std::string& path, std::size_t max_line) {
  const std::string bytes = read_file(path);
  const std::string_view text = bytes;
  std::size_t begin = starts_with(text, "\xEF\xBB\xBF") ? 3 : 0;
  std::vector<std::string> lines;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const std::size_t number = lines.size() + 1;
    if (line.size() > max_line)
      fail(Fault::data, "{}:{}: a line must have at most {} bytes; got {}", path, number, max_line,
           line.size());
    const std::size_t bad = first_invalid_utf8(line), nul = line.find('\0');
    if (bad != std::string_view::npos)
      fail(Fault::data, "{}:{}: text must be UTF-8; got byte 0x{:02x} at byte {} of the file", path, number,
           static_cast<unsigned char>(line[bad]), begin + bad);
    if (nul != std::string_view::npos)
      fail(Fault::data, "{}:{}: text must not contain NUL; got one at byte {} of the file", path, number,
           begin + nul);
    lines.emplace_back(line);
    begin = end + 1;
  }
  if (lines.empty()) fail(Fault::data, "{}: must have at least one line; got an empty file", path);
  return lines;
}

}  // namespace qkv
