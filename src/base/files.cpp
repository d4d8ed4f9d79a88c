#include "base/file.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr const char* kTemporary = ".tmp.";  // between name and process of an atomic file
constexpr const char* kManifest = ".manifest";

// Whether another process lives: not one that is ending, or that has ended and not been waited for.
bool is_at_work(pid_t process) {
  if (process == ::getpid() || (::kill(process, 0) != 0 && errno == ESRCH)) return false;
  std::ifstream in(fmt::format("/proc/{}/stat", process));  // NUMBER (NAME) STATE and six numbers, then flags
  std::string text;
  std::getline(in, text);
  const std::vector<std::string> fields =
      split_words(text.substr(std::min(text.rfind(')') + 1, text.size())));
  if (fields.size() < 7) return true;
  constexpr unsigned long kExiting = 4;
  return fields[0] != "Z" && fields[0] != "X" &&
         (std::strtoul(fields[6].c_str(), nullptr, 10) & kExiting) == 0;
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  return S_ISREG(mode) ? "a file" : S_ISSOCK(mode) ? "a socket" : "a device";
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
  using Packer = std::pair<std::string_view, const char*>;
  for (auto& [begin, packer] :
       {Packer{"\x1f\x8b", "gzip"}, Packer{"PK\x03\x04", "zip"}, Packer{"\3757zXZ", "xz"},
        Packer{"BZh", "bzip2"}, Packer{"\x28\xb5\x2f\xfd", "Zstandard"}})
    if (starts_with(bytes, begin) && first_invalid_utf8(bytes.substr(0, 1000)) < 990)
      fail(fault, "{}: must not be compressed; got a file of {} (unpack it first)", path, packer);
}

std::string not_a_directory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? fmt::format("got {}", kind_of(status.st_mode))
                                            : "it does not exist";
}

std::vector<std::string> entries_of(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
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

bool is_manifest(const std::string& path) {
  return ends_with(path, kManifest) && !is_directory(path);
}

std::vector<std::string> files_of_manifest(const std::string& path) {
  constexpr std::size_t kMost = std::size_t{1} << 26;
  std::vector<std::string> files;
  int number = 0;
  for (const std::string& text : split(read_file(path, kMost), '\n')) {
    const std::string line(trim(text));
    number++;
    if (line.empty() || line[0] == '#') continue;
    files.push_back((fs::path(path).parent_path() / line).lexically_normal().string());
    const char* why = ends_with(line, kManifest) ? "a manifest"
                      : exists(files.back())     ? "no plain file"
                                                 : "no file";
    if (std::error_code ignored; ends_with(line, kManifest) || !fs::is_regular_file(files.back(), ignored))
      fail(Fault::data, "{}:{}: a line must name a file of text; got {}, which is {}", path, number,
           in_quotes(line), why);
  }
  if (files.empty()) fail(Fault::data, "{}: must name a file; got none", path);
  return files;
}

void copy_files(const std::string& from, const std::string& to) {
  if (is_manifest(from)) {
    const fs::path folder = fs::path(to).replace_extension();
    make_directories(folder.string());
    std::string list;
    int number = 0;
    for (const std::string& file : files_of_manifest(from)) {
      const std::string own = fs::path(file).filename().string();
      const std::string name =
          fmt::format("{:06}-{}", ++number, own.substr(own.size() - std::min<std::size_t>(own.size(), 200)));
      copy_file(file, (folder / name).string());
      list += (folder.filename() / name).string() + "\n";
    }
    return write_file_atomic(to, list);
  }
  if (!is_directory(from)) return copy_file(from, to);
  make_directories(to);
  for (const std::string& name : files_below(from)) {
    make_directories(fs::path(to + "/" + name).parent_path().string());
    copy_file(from + "/" + name, to + "/" + name);
  }
}

void remove_left_overs(const std::string& folder, const std::string& name) {
  for (const std::string& file : entries_of(folder)) {
    const std::size_t mark = file.rfind(kTemporary);
    if (mark == std::string::npos || !starts_with(file, name)) continue;
    const std::string id = file.substr(mark + std::strlen(kTemporary));
    if (!all_digits(id) || id.size() > 9) continue;
    std::error_code ignored;
    if (!is_at_work(pid_t(std::stol(id)))) fs::remove(folder + "/" + file, ignored);
  }
}

}  // namespace qkv
