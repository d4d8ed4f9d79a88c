#include "base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

[[noreturn]] void fail_errno(Fault fault, const std::string& path, const char* rule) {
  fail(fault, "{}: {}; got {}", path, rule, std::strerror(errno));
}

std::size_t read_some(const Descriptor& file, char* to, std::size_t size, const std::string& path,
                      Fault fault) {
  for (;;) {
    ssize_t count = ::read(file.get(), to, size);
    if (count >= 0) return std::size_t(count);
    if (errno != EINTR) fail_errno(fault, path, "cannot be read");
  }
}

// All bytes, of which about `size` are expected: a file may be longer than its status said (/proc, or one
// that grows).
std::string read_to_end(const Descriptor& file, std::size_t size, const std::string& path, std::size_t limit,
                        Fault fault) {
  std::string bytes;
  bytes.reserve(size + 1);
  for (std::size_t used = 0;;) {
    bytes.resize(std::max(bytes.capacity(), used + 1));
    const std::size_t count = read_some(file, bytes.data() + used, bytes.size() - used, path, fault);
    used += count;
    if (used > limit) fail(fault, "{}: must have at most {} bytes; got more", path, limit);
    if (count == 0) {
      bytes.resize(used);
      return bytes;
    }
    if (used == bytes.size()) bytes.reserve(2 * used + kChunk);
  }
}

void write_all(const Descriptor& file, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_errno(Fault::runtime, path, "cannot be written");
    bytes.remove_prefix(std::size_t(count));
  }
}

std::string folder_of(const std::string& path) {
  auto folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// Where an atomic file goes when it is written: the target of a link.
std::string target_of(const std::string& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return path;
  const fs::path whole = fs::canonical(path, error);
  return error ? (fs::path(path).parent_path() / fs::read_symlink(path, error)).string() : whole.string();
}

// For what is there and cannot be replaced by a file of that name.
Descriptor open_special(const std::string& path) {
  if (path == "/dev/stdout" || path == "/dev/stderr")
    return Descriptor(::dup(path == "/dev/stdout" ? STDOUT_FILENO : STDERR_FILENO));
  struct stat status;
  if (::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
    return Descriptor();
  return Descriptor(path, O_WRONLY, Fault::runtime, "cannot be written");
}

// The file under the name must be the one that is open.
void check_in_place(const Descriptor& file, const std::string& path) {
  struct stat there, own;
  if (::stat(path.c_str(), &there) != 0 || ::fstat(file.get(), &own) != 0 || there.st_ino != own.st_ino ||
      there.st_dev != own.st_dev)
    fail(Fault::runtime, "{}: must stay where it is while it is written; it was removed or moved", path);
}

std::string hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", std::uint64_t{hash.high64}, std::uint64_t{hash.low64});
}

// Some file systems cannot sync and say so with EINVAL.
void sync_to_disk(const Descriptor& file, const std::string& path, const char* rule) {
  if (::fsync(file.get()) != 0 && errno != EINVAL) fail_errno(Fault::runtime, path, rule);
}

}  // namespace

Descriptor::Descriptor(const std::string& path, int flags, Fault fault, const char* rule)
    : value_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
  if (value_ < 0) fail_errno(fault, path, rule);
}

Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

std::string read_file(const std::string& path, std::size_t limit, Fault fault) {
  check_plain_file(path, fault);
  const Descriptor file(path, O_RDONLY, fault, "cannot be read");
  struct stat status;
  if (::fstat(file.get(), &status) != 0) fail_errno(fault, path, "cannot be read");
  const auto size = std::size_t(status.st_size);
  if (size > limit) fail(fault, "{}: must have at most {} bytes; got {}", path, limit, size);
  std::string bytes = read_to_end(file, size, path, limit, fault);
  check_unpacked(path, bytes, fault);
  return bytes;
}

std::string read_file_or_pipe(const std::string& path, std::size_t limit, Fault fault) {
  static std::map<std::string, std::string> pipes;
  if (const auto known = pipes.find(path); known != pipes.end()) return known->second;
  struct stat status;
  if (::stat(path.c_str(), &status) != 0 || !S_ISFIFO(status.st_mode)) return read_file(path, limit, fault);
  // A pipe that no process opens for writing within a second is an error.
  const Descriptor pipe(path, O_RDONLY | O_NONBLOCK, fault, "cannot be read");
  pollfd wait{pipe.get(), POLLIN, 0};
  const bool written = ::poll(&wait, 1, 1000) != 0;
  ::fcntl(pipe.get(), F_SETFL, 0);  // from now on, reading waits
  std::string bytes = read_to_end(pipe, 0, path, limit, fault);
  if (!written && bytes.empty())
    fail(fault, "{}: must be a pipe that something writes to; got one that nothing does", path);
  return pipes[path] = std::move(bytes);
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_directory(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

void make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(Fault::runtime, "{}: directory cannot be made; got {}", path, error.message());
}

void fsync_dir(const std::string& path) {
  const Descriptor directory(path, O_RDONLY | O_DIRECTORY, Fault::runtime, "directory cannot be opened");
  sync_to_disk(directory, path, "directory cannot be written to disk");
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), descriptor_(open_special(path_)) {
  if (descriptor_) return;
  path_ = target_of(path_);
  remove_left_overs(folder_of(path_), fs::path(path_).filename().string() + ".tmp.");
  temporary_ = fmt::format("{}.tmp.{}", path_, ::getpid());
  descriptor_ = Descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!descriptor_) fail_errno(Fault::runtime, path_, "cannot be written");
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
  write_all(descriptor_, bytes, path_);
}

void AtomicFile::commit() {
  sync_to_disk(descriptor_, path_, "cannot be written to disk");
  if (::close(descriptor_.release()) != 0) fail_errno(Fault::runtime, path_, "cannot be closed");
  if (temporary_.empty()) return;  // no plain file
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    fail_errno(Fault::runtime, path_, "cannot be replaced");
  temporary_.clear();
  fsync_dir(folder_of(path_));
}

void write_file_atomic(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

AppendFile::AppendFile(std::string path)
    : path_(std::move(path)),
      descriptor_(path_, O_WRONLY | O_CREAT | O_APPEND, Fault::runtime, "cannot be written") {}

void AppendFile::write_line(std::string_view line) {
  write(std::string(line) + '\n');
}

void AppendFile::write(std::string_view bytes) {
  check_in_place(descriptor_, path_);
  write_all(descriptor_, bytes, path_);
}

void AppendFile::sync() {
  check_in_place(descriptor_, path_);
  sync_to_disk(descriptor_, path_, "cannot be written to disk");
}

std::string checksum(std::string_view bytes) {
  return hex(XXH3_128bits(bytes.data(), bytes.size()));
}

Checksum::Checksum() : state_(XXH3_createState(), XXH3_freeState) {
  XXH3_128bits_reset(state_.get());
}

void Checksum::add(std::string_view bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

std::string Checksum::text() const {
  return hex(XXH3_128bits_digest(state_.get()));
}

std::string checksum_file(const std::string& path, std::size_t limit) {
  check_plain_file(path);
  const Descriptor file(path, O_RDONLY, Fault::data, "cannot be read");
  Checksum sum;
  std::string chunk(kChunk, '\0');
  while (const std::size_t n =
             read_some(file, chunk.data(), std::min(limit, chunk.size()), path, Fault::data)) {
    sum.add({chunk.data(), n});
    limit -= limit == std::string::npos ? 0 : n;
  }
  return sum.text();
}

}  // namespace qkv
