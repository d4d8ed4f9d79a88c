#include "data/lines.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

std::string_view without_end(std::string_view line) {
  if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// `where` starts the message; the line begins at byte `begin` of `whole`, "the file" or "the line".
void check_line(std::string_view line, const std::string& where, std::size_t max_line, std::size_t begin,
                const char* whole) {
  if (line.size() > max_line)
    fail(Fault::data, "{}a line must have at most {} bytes; got {}", where, max_line, line.size());
  const std::size_t bad = first_invalid_utf8(line), nul = line.find('\0');
  if (bad != std::string_view::npos)
    fail(Fault::data, "{}text must be UTF-8; got byte 0x{:02x} at byte {} of {}", where,
         static_cast<unsigned char>(line[bad]), begin + bad, whole);
  if (nul != std::string_view::npos)
    fail(Fault::data, "{}text must not contain NUL; got one at byte {} of {}", where, begin + nul, whole);
}

}  // namespace

std::string_view without_mark(std::string_view text) {
  if (starts_with(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

[[noreturn]] static void fail_reading(const std::string& name) {
  fail(Fault::data, "{}: cannot be read; got {}", name, std::strerror(errno));
}

std::string read_standard_input() {
  std::string all;
  char block[4096];
  while (const std::size_t n = std::fread(block, 1, sizeof block, stdin)) all.append(block, n);
  if (std::ferror(stdin)) fail_reading("standard input");
  check_unpacked("standard input", all);
  return std::string(without_mark(all));
}

bool LineReader::next(std::string& line) {
  char* buffer = nullptr;
  std::size_t room = 0;
  errno = 0;
  const ssize_t n = ::getline(&buffer, &room, file_);
  if (n >= 0) line.assign(buffer, std::size_t(n));
  std::free(buffer);
  if (n < 0 && std::ferror(file_)) fail_reading(name_);
  if (n < 0) return false;
  if (first_) check_unpacked(name_, line);
  line = without_end(first_ ? without_mark(line) : line);
  first_ = false;
  return true;
}

void LineReader::check(std::string_view line) {
  check_line(line, "", kMaxText, 0, "the line");
}

void LineProblems::attempt(const std::function<void()>& f) {
  constexpr std::size_t kMostProblems = 20;
  try {
    f();
  } catch (const Error& e) {
    if (e.fault() != Fault::data) throw;
    problems_.emplace_back(e.what());
  }
  if (problems_.size() < kMostProblems) return;
  problems_.emplace_back("data: there may be more bad lines; reading ended here");
  finish();
}

void LineProblems::finish() const {
  if (!problems_.empty()) throw Error(join(problems_, "\n"), Fault::data);
}

std::vector<std::string> read_lines(const std::string& path, LineProblems* problems) {
  return lines_of(read_file(path), path, problems);
}

std::vector<std::string> lines_of(std::string_view text, const std::string& name, LineProblems* problems) {
  std::size_t begin = text.size() - without_mark(text).size();
  std::vector<std::string> lines;
  LineProblems own;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = without_end(text.substr(begin, end - begin));
    lines.emplace_back();
    (problems ? *problems : own).attempt([&] {
      check_line(line, fmt::format("{}:{}: ", name, lines.size()), kMaxLine, begin, "the file");
      lines.back() = line;
    });
    begin = end + 1;
  }
  own.finish();
  if (lines.empty()) fail(Fault::data, "{}: must have at least one line; got an empty file", name);
  return lines;
}

void for_lines(const std::string& path,
               const std::function<void(const std::string& line, const std::string& where)>& take) {
  LineProblems problems;
  int number = 0;
  for (const std::string& line : read_lines(path, &problems)) {
    ++number;
    if (!trim(line).empty()) problems.attempt([&] { take(line, fmt::format("{}:{}", path, number)); });
  }
  problems.finish();
}

}  // namespace qkv
