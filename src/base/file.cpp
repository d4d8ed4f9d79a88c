#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "base/files.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

[[noreturn]] void fail_errno(Fault fault, const std::string& path, const char* rule) {
  int code = errno;
  fail(fault, "{}: {}; got {}", path, rule, std::strerror(code));
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags, Fault fault, const char* rule)
      : value_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (value_ < 0) fail_errno(fault, path, rule);
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

std::size_t read_some(int descriptor, char* to, std::size_t size, const std::string& path, Fault fault) {
  for (;;) {
    ssize_t count = ::read(descriptor, to, size);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) fail_errno(fault, path, "cannot be read");
  }
}

void write_all(int descriptor, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_errno(Fault::runtime, path, "cannot be written");
    bytes.remove_prefix(static_cast<std::size_t>(count));
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

// For what is there and cannot be replaced by a file of that name; else -1.
int open_special(const std::string& path) {
  if (path == "/dev/stdout" || path == "/dev/stderr") return ::dup(path == "/dev/stdout" ? 1 : 2);
  struct stat status;
  if (::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) return -1;
  return Descriptor(path, O_WRONLY, Fault::runtime, "cannot be written").release();
}

// The file under the name must be the one that is open.
void check_in_place(int descriptor, const std::string& path) {
  struct stat there, own;
  if (::stat(path.c_str(), &there) != 0 || ::fstat(descriptor, &own) != 0 || there.st_ino != own.st_ino ||
      there.st_dev != own.st_dev)
    fail(Fault::runtime, "{}: must stay where it is while it is written; it was removed or moved", path);
}

std::string hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", std::uint64_t{hash.high64}, std::uint64_t{hash.low64});
}

}  // namespace

std::string read_file(const std::string& path, std::size_t limit, Fault fault) {
  check_plain_file(path, fault);
  Descriptor file(path, O_RDONLY, fault, "cannot be read");
  struct stat status;
  if (::fstat(file.get(), &status) != 0) fail_errno(fault, path, "cannot be read");
  auto size = static_cast<std::size_t>(status.st_size);
  if (size > limit) fail(fault, "{}: must have at most {} bytes; got {}", path, limit, size);
  std::string bytes;
  bytes.reserve(size + 1);
  // A file may be longer than its status said (/proc, or one that grows): read to the end.
  for (std::size_t used = 0;;) {
    bytes.resize(std::max(bytes.capacity(), used + 1));
    std::size_t count = read_some(file.get(), bytes.data() + used, bytes.size() - used, path, fault);
    used += count;
    if (used > limit) fail(fault, "{}: must have at most {} bytes; got more", path, limit);
    if (count == 0) {
      bytes.resize(used);
      check_unpacked(path, bytes, fault);
      return bytes;
    }
    if (used == bytes.size()) bytes.reserve(2 * used + kChunk);
  }
}

bool exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

bool is_directory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(Fault::runtime, "{}: directory cannot be made; got {}", path, error.message());
}

void fsync_dir(const std::string& path) {
  Descriptor directory(path, O_RDONLY | O_DIRECTORY, Fault::runtime, "directory cannot be opened");
  // Some file systems cannot sync directories and say so with EINVAL.
  if (::fsync(directory.get()) != 0 && errno != EINVAL)
    fail_errno(Fault::runtime, path, "directory cannot be written to disk");
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), descriptor_(open_special(path_)) {
  if (descriptor_ >= 0) return;
  path_ = target_of(path_);
  remove_left_overs(folder_of(path_), fs::path(path_).filename().string() + ".tmp.");
  temporary_ = fmt::format("{}.tmp.{}", path_, ::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_errno(Fault::runtime, path_, "cannot be written");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
  write_all(descriptor_, bytes, path_);
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL)
    fail_errno(Fault::runtime, path_, "cannot be written to disk");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_errno(Fault::runtime, path_, "cannot be closed");
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

AppendFile::AppendFile(std::string path) : path_(std::move(path)) {
  descriptor_ =
      Descriptor(path_, O_WRONLY | O_CREAT | O_APPEND, Fault::runtime, "cannot be written").release();
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void AppendFile::write_line(std::string_view line) {
  std::string whole(line);
  whole += '\n';
  write(whole);
}

void AppendFile::write(std::string_view bytes) {
  check_in_place(descriptor_, path_);
  write_all(descriptor_, bytes, path_);
}

void AppendFile::sync() {
  check_in_place(descriptor_, path_);
  if (::fsync(descriptor_) != 0 && errno != EINVAL)
    fail_errno(Fault::runtime, path_, "cannot be written to disk");
}

std::string checksum(std::string_view bytes) {
  return hex(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string checksum_file(const std::string& path) {
  check_plain_file(path);
  Descriptor file(path, O_RDONLY, Fault::data, "cannot be read");
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> chunk(kChunk);
  while (std::size_t count = read_some(file.get(), chunk.data(), chunk.size(), path, Fault::data))
    XXH3_128bits_update(state.get(), chunk.data(), count);
  return hex(XXH3_128bits_digest(state.get()));
}

}  // namespace qkv
