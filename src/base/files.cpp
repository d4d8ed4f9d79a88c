#include "base/files.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr const char* kTemporary = ".tmp.";  // between name and process of an atomic file

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  return S_ISREG(mode) ? "a file" : S_ISSOCK(mode) ? "a socket" : "a device";
}

// Everything that comes through a pipe. A pipe that no process opens for writing within a second is an error.
std::string read_pipe(const std::string& path, std::size_t limit, Fault fault) {
  const int pipe = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  pollfd wait{pipe, POLLIN, 0};
  bool ready = ::poll(&wait, 1, 1000) != 0;
  std::string bytes;
  char chunk[4096];
  ssize_t count = 0;
  while (bytes.size() <= limit) {
    count = ::read(pipe, chunk, sizeof chunk);
    if (count > 0) bytes.append(chunk, static_cast<std::size_t>(count));
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) break;
    if (count < 0) ::poll(&wait, 1, -1);
    ready = true;
  }
  const int code = errno;
  ::close(pipe);
  if (count < 0) fail(fault, "{}: cannot be read; got {}", path, std::strerror(code));
  if (!ready) fail(fault, "{}: must be a pipe that something writes to; got one that nothing does", path);
  if (bytes.size() > limit) fail(fault, "{}: must have at most {} bytes; got more", path, limit);
  return bytes;
}

void copy_file(const std::string& from, const std::string& to) {
  check_plain_file(from);
  std::ifstream in(from, std::ios::binary);
  if (!in) fail(Fault::data, "{}: cannot be read; got {}", from, std::strerror(errno));
  std::ofstream out(to, std::ios::binary | std::ios::trunc);
  if (in.peek() != std::ifstream::traits_type::eof()) out << in.rdbuf();
  if (!out.flush()) fail(Fault::runtime, "{}: cannot be written; got {}", to, std::strerror(errno));
}

}  // namespace

void check_plain_file(const std::string& path, Fault fault) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return;
  fail(fault, "{}: must be a {}file; got {}", path, S_ISDIR(status.st_mode) ? "" : "plain ",
       kind_of(status.st_mode));
}

void check_unpacked(const std::string& path, std::string_view bytes, Fault fault) {
  constexpr std::pair<std::string_view, const char*> kPackers[] = {{"\x1f\x8b", "gzip"},
                                                                   {"PK\x03\x04", "zip"},
                                                                   {"\xfd"
                                                                    "7zXZ",
                                                                    "xz"},
                                                                   {"BZh", "bzip2"},
                                                                   {"\x28\xb5\x2f\xfd", "Zstandard"}};
  for (auto& [begin, packer] : kPackers)
    if (starts_with(bytes, begin) && first_invalid_utf8(bytes.substr(0, 1000)) < 990)
      fail(fault, "{}: must not be compressed; got a file of {} (unpack it first)", path, packer);
}

std::string not_a_directory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? fmt::format("got {}", kind_of(status.st_mode))
                                            : "it does not exist";
}

std::string read_file_or_pipe(const std::string& path, std::size_t limit, Fault fault) {
  static std::map<std::string, std::string> pipes;
  if (const auto known = pipes.find(path); known != pipes.end()) return known->second;
  struct stat status;
  if (::stat(path.c_str(), &status) != 0 || !S_ISFIFO(status.st_mode)) return read_file(path, limit, fault);
  return pipes[path] = read_pipe(path, limit, fault);
}

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (std::error_code ignored; it->is_regular_file(ignored))
      names.push_back(it->path().lexically_relative(folder).string());
  if (error && exists(folder)) fail(Fault::data, "{}: cannot be read; got {}", folder, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

void copy_files(const std::string& from, const std::string& to) {
  if (!is_directory(from)) return copy_file(from, to);
  make_directories(to);
  for (const std::string& name : files_below(from)) {
    make_directories(fs::path(to + "/" + name).parent_path().string());
    copy_file(from + "/" + name, to + "/" + name);
  }
}

void remove_left_overs(const std::string& folder, const std::string& name) {
  std::error_code error;
  std::vector<fs::path> gone;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string file = it->path().filename().string();
    const std::size_t mark = file.rfind(kTemporary);
    if (mark == std::string::npos || !starts_with(file, name)) continue;
    const std::string id = file.substr(mark + std::strlen(kTemporary));
    if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto writer = static_cast<pid_t>(std::stol(id));
    if (writer == ::getpid() || (::kill(writer, 0) != 0 && errno == ESRCH)) gone.push_back(it->path());
  }
  for (const fs::path& path : gone) fs::remove(path, error);
}

}  // namespace qkv
