// Files: whole reads with a limit, atomic and appending writes that report every failure, checksums.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "qkv/base/error.h"

namespace qkv {

constexpr std::size_t kMaxFileSize = std::size_t{1} << 34;

/// The bytes of a file. `fault` is the kind of error a missing, unreadable or too large file is.
std::string read_file(const std::string& path, std::size_t limit = kMaxFileSize, Fault fault = Fault::data);

bool exists(const std::string& path);
bool is_directory(const std::string& path);
/// Makes the directory and its parents where they are missing.
void make_directories(const std::string& path);
/// Makes renames and new files in the directory survive a power failure.
void fsync_dir(const std::string& path);

/// A file that appears under its name complete or not at all: written beside it, then renamed by `commit`.
/// Without commit the destructor removes what was written.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view bytes);
  /// fsync, close, rename, fsync of the directory.
  void commit();

 private:
  std::string path_, temporary_;
  int descriptor_ = -1;
};

void write_file_atomic(const std::string& path, std::string_view bytes);

/// A file that only grows; one write(2) per line, so that a reader never sees a line mixed with another.
class AppendFile {
 public:
  explicit AppendFile(std::string path);
  ~AppendFile();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  /// Appends `line` and a line feed.
  void write_line(std::string_view line);
  /// Appends bytes as they are.
  void write(std::string_view bytes);
  void sync();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_ = -1;
};

/// XXH3-128 as 32 hex digits: finds damage, no security.
std::string checksum(std::string_view bytes);
std::string checksum_file(const std::string& path);

}  // namespace qkv
