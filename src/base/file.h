// Files: whole reads with a limit, atomic and appending writes that report every failure, checksums; which
// kind they are, what lies in a folder, copies.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qkv/base/error.h"

struct XXH3_state_s;

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

/// An open file of the system, closed with the object.
class Descriptor {
 public:
  /// `value`: negative where there is none.
  explicit Descriptor(int value = -1) : value_(value) {}
  /// Opens a file. What keeps it from being opened is an error of `rule`.
  Descriptor(const std::string& path, int flags, Fault fault, const char* rule);
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor();
  explicit operator bool() const { return value_ >= 0; }
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

/// A file that appears under its name complete or not at all: written beside it, then renamed by `commit`.
/// Without commit the destructor removes what was written.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  void write(std::string_view bytes);
  /// fsync, close, rename, fsync of the directory.
  void commit();

 private:
  std::string path_, temporary_;
  Descriptor descriptor_;
};

void write_file_atomic(const std::string& path, std::string_view bytes);

/// A file that only grows; one write(2) per line, so that a reader never sees a line mixed with another.
class AppendFile {
 public:
  explicit AppendFile(std::string path);
  /// Appends `line` and a line feed.
  void write_line(std::string_view line);
  /// Appends bytes as they are.
  void write(std::string_view bytes);
  void sync();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  Descriptor descriptor_;
};

/// XXH3-128 as 32 hex digits: finds damage, no security.
std::string checksum(std::string_view bytes);
/// Of a file, or of its first `limit` bytes.
std::string checksum_file(const std::string& path, std::size_t limit = std::string::npos);
/// The same of bytes that come in parts.
class Checksum {
 public:
  Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;
  void add(std::string_view bytes);
  std::string text() const;

 private:
  std::shared_ptr<XXH3_state_s> state_;
};

/// Throws where `path` is there and is no plain file (a pipe, a device), before it is waited for.
void check_plain_file(const std::string& path, Fault fault = Fault::data);
/// Throws where a file begins as those of gzip, zip, xz, bzip2 and Zstandard do: nothing here reads them.
void check_unpacked(const std::string& path, std::string_view bytes, Fault fault = Fault::data);
/// What to say of a path that is no directory: "it does not exist", or "got a file".
std::string not_a_directory(const std::string& path);
/// The bytes of a plain file, or of a pipe, which is read once: what came is remembered for the next call.
std::string read_file_or_pipe(const std::string& path, std::size_t limit, Fault fault);

/// Names of what lies in a folder, sorted; none where it cannot be read.
std::vector<std::string> entries_of(const std::string& folder);
/// Names of the plain files below a folder and its sub-folders, relative to it, sorted. Links to folders are
/// not followed.
std::vector<std::string> files_below(const std::string& folder);
/// Whether data is a manifest: a text NAME.manifest that names files, one per line, relative to itself.
bool is_manifest(const std::string& path);
/// The files that a manifest names, in order. Blank lines and those that begin with # are left out. A data
/// error for a line that names no plain file, or a manifest, and where there is none.
std::vector<std::string> files_of_manifest(const std::string& path);
/// Copies the bytes of a plain file, or of the files below a folder, without their modes; of a manifest also
/// those of its files, into the folder beside it that has its name without ".manifest".
void copy_files(const std::string& from, const std::string& to);
/// Removes what killed processes have left of atomic files in a folder: "NAME.tmp.PROCESS", of those whose
/// names begin with `name`.
void remove_left_overs(const std::string& folder, const std::string& name = "");

}  // namespace qkv
