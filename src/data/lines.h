// Text as checked lines: of files for the corpus readers, of standard input for the verbs.
#pragma once
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/base/error.h"

namespace qkv {

constexpr std::size_t kMaxLine = std::size_t{1} << 16;  ///< bytes, of a data file
constexpr std::size_t kMaxText = std::size_t{1} << 24;  ///< bytes, of a text to be answered

/// Keeps what is wrong with each line of a file, so that a reader reports all of them and not only the first.
class LineProblems {
 public:
  /// Runs `f`; a data error is kept, and all of them are thrown when they are too many to go on.
  void attempt(const std::function<void()>& f);
  /// Throws them in one data error, a line for each, if there are any.
  void finish() const;

 private:
  std::vector<std::string> problems_;
};

/// The lines of a UTF-8 file without their ends (LF or CR LF); a byte order mark is skipped. Line i + 1 of
/// the file is element i. Bytes that are not UTF-8, NUL bytes, lines longer than kMaxLine bytes and files
/// without any line are data errors `path:line: rule; got ..`. With `problems`, bad lines are reported there,
/// and are empty in the result.
std::vector<std::string> read_lines(const std::string& path, LineProblems* problems = nullptr);
/// The same of text that was read already, from what is called `name`.
std::vector<std::string> lines_of(std::string_view text, const std::string& name,
                                  LineProblems* problems = nullptr);
/// Calls take(line, "path:number") for each line of a file that is not blank. The problems of all lines are
/// thrown together.
void for_lines(const std::string& path,
               const std::function<void(const std::string& line, const std::string& where)>& take);

/// A text without the byte order mark that it may begin with.
std::string_view without_mark(std::string_view text);

/// All of standard input, without byte order mark. What cannot be read is a data error.
std::string read_standard_input();

/// The lines of a stream as they come, by the same rules, but for their length: at most kMaxText bytes.
class LineReader {
 public:
  explicit LineReader(std::FILE* file = stdin, std::string name = "standard input")
      : file_(file), name_(std::move(name)) {}
  /// The next line, not yet checked; false at the end. A stream that cannot be read is a data error.
  bool next(std::string& line);
  /// Throws what `read_lines` throws for a line, without its place.
  static void check(std::string_view line);

 private:
  std::FILE* file_;
  std::string name_;
  bool first_ = true;
};

}  // namespace qkv
