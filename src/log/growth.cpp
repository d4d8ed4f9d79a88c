#include "log/growth.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"

namespace qkv {
namespace {

constexpr std::uint64_t kMarked = 256;  // bytes before a place that tell whether it is still the same file

std::string bytes_of(const Descriptor& file, std::uint64_t from, std::uint64_t size) {
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = ::pread(file.get(), &bytes[got], bytes.size() - got, off_t(from + got));
    if (n <= 0) break;  // it was cut meanwhile
    got += std::size_t(n);
  }
  bytes.resize(got);
  return bytes;
}

std::string mark_of(const Descriptor& file, std::uint64_t to) {
  const std::uint64_t size = std::min(to, kMarked);
  const std::string bytes = bytes_of(file, to - size, size);
  return to == 0 || bytes.size() < size ? "" : checksum(bytes);
}

}  // namespace

Growth read_growth(const std::string& path, std::uint64_t from, const std::string& mark, std::size_t most) {
  Growth result;
  result.again = from > 0;
  if (!exists(path)) return result;
  check_plain_file(path);
  const Descriptor file(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, Fault::data, "must be readable");
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return result;
  const auto size = std::uint64_t(about.st_size);
  if (from > 0 && from <= size && mark_of(file, from) == mark) result.again = false, result.to = from;
  result.more = size - result.to >= most;
  result.lines = bytes_of(file, result.to, std::min<std::uint64_t>(size - result.to, most));
  const std::size_t whole = result.lines.rfind('\n') + 1;
  // A line that is longer than `most` is passed over in parts; the last of them is no record.
  result.to += whole > 0 || !result.more ? whole : result.lines.size();
  result.lines.resize(whole);
  result.mark = mark_of(file, result.to);
  return result;
}

}  // namespace qkv
