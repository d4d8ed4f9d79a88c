// Text files as checked lines, for the corpus readers.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "qkv/base/error.h"

namespace qkv {

constexpr std::size_t kMaxLine = std::size_t{1} << 16;

/// Keeps what is wrong with each line of a file, so that a reader tells it of all of them and not of the
/// first.
class LineProblems {
 public:
  /// Runs `f`; a data error is kept.
  template <class F>
  void attempt(F f) {
    try {
      f();
    } catch (const Error& e) {
      if (e.fault() != Fault::data) throw;
      add(e.what());
    }
  }
  /// Throws those so far when they are too many to go on.
  void add(const std::string& problem);
  /// Throws them in one data error, a line for each, if there are any.
  void finish() const;

 private:
  std::vector<std::string> problems_;
};

/// The lines of a UTF-8 file without their ends (LF or CR LF); a byte order mark is skipped. Line i + 1 of
/// the file is element i. Bytes that are not UTF-8, NUL bytes, lines longer than `max_line` bytes and files
/// without any line are data errors `path:line: rule; got ..`. With `problems`, bad lines are told there, and
/// are empty in the result.
std::vector<std::string> read_lines(const std::string& path, std::size_t max_line = kMaxLine,
                                    LineProblems* problems = nullptr);

}  // namespace qkv
