#include "qkv/data/lines.h"

#include <algorithm>

#include "qkv/base/file.h"
#include "qkv/base/text.h"

namespace qkv {

namespace {

constexpr std::size_t kMostProblems = 20;

void check_line(std::string_view line, const std::string& where, std::size_t begin, std::size_t max_line) {
  if (line.size() > max_line)
    fail(Fault::data, "{}: a line must have at most {} bytes; got {}", where, max_line, line.size());
  const std::size_t bad = first_invalid_utf8(line), nul = line.find('\0');
  if (bad != std::string_view::npos)
    fail(Fault::data, "{}: text must be UTF-8; got byte 0x{:02x} at byte {} of the file", where,
         static_cast<unsigned char>(line[bad]), begin + bad);
  if (nul != std::string_view::npos)
    fail(Fault::data, "{}: text must not contain NUL; got one at byte {} of the file", where, begin + nul);
}

}  // namespace

void LineProblems::add(const std::string& problem) {
  problems_.push_back(problem);
  if (problems_.size() < kMostProblems) return;
  problems_.emplace_back("data: there may be more bad lines; reading ended here");
  finish();
}

void LineProblems::finish() const {
  if (!problems_.empty()) throw Error(join(problems_, "\n"), Fault::data);
}

std::vector<std::string> read_lines(const std::string& path, std::size_t max_line, LineProblems* problems) {
  const std::string bytes = read_file(path);
  const std::string_view text = bytes;
  std::size_t begin = starts_with(text, "\xEF\xBB\xBF") ? 3 : 0;
  std::vector<std::string> lines;
  LineProblems own;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.emplace_back();
    (problems ? *problems : own).attempt([&] {
      check_line(line, fmt::format("{}:{}", path, lines.size()), begin, max_line);
      lines.back() = line;
    });
    begin = end + 1;
  }
  own.finish();
  if (lines.empty()) fail(Fault::data, "{}: must have at least one line; got an empty file", path);
  return lines;
}

}  // namespace qkv
