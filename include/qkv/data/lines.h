// Text files as checked lines, for the corpus readers.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace qkv {

constexpr std::size_t kMaxLine = std::size_t{1} << 16;

/// The lines of a UTF-8 file without their ends (LF or CR LF); a byte order mark is skipped. Line i + 1 of
/// the file is element i. Bytes that are not UTF-8, NUL bytes, lines longer than `max_line` bytes and files
/// without any line are data errors `path:line: rule; got ..`.
std::vector<std::string> read_lines(const std::string& path, std::size_t max_line = kMaxLine);

}  // namespace qkv
