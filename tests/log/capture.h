// Where tests let a console write: a temporary file, or a terminal of a chosen width.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "count.h"

namespace qkv::test {

/// A path in a folder of its own that is removed at the end.
struct TemporaryFile {
  TemporaryFile() {
    char name[] = "/tmp/qkv_log_XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder = name;
    path = folder + "/file";
  }
  ~TemporaryFile() {
    std::remove(path.c_str());
    std::remove(folder.c_str());
  }
  std::string text() const {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& text) const { std::ofstream(path, std::ios::binary) << text; }
  std::string folder, path;
};

/// A file as descriptor, for a console without terminal.
struct CapturedFile : TemporaryFile {
  CapturedFile() : fd(open(path.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600)) { REQUIRE(fd >= 0); }
  ~CapturedFile() { close(fd); }
  int fd;
};

/// Whether the system has none: a chroot without /dev/pts. Then there is nothing to test.
inline bool no_terminals() {
  int master = -1, fd = -1;
  if (openpty(&master, &fd, nullptr, nullptr, nullptr) != 0) {
    skipped("there are no pseudo-terminals (is /dev/pts mounted?)");
    return true;
  }
  close(master), close(fd);
  return false;
}

/// A pseudo-terminal; everything written to `fd` is collected by a thread.
struct CapturedTerminal {
  explicit CapturedTerminal(int width) {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(width);
    size.ws_row = 24;
    REQUIRE(openpty(&master, &fd, nullptr, nullptr, &size) == 0);
    // The kernel may drop what is unread when the last writer closes: a mark ends the stream instead.
    reader = std::thread([this] {
      char buffer[4096];
      ssize_t count;
      while (output.find(kEnd) == std::string::npos && (count = read(master, buffer, sizeof buffer)) > 0)
        output.append(buffer, static_cast<std::size_t>(count));
      output.resize(std::min(output.size(), output.find(kEnd)));
    });
  }
  ~CapturedTerminal() {
    finish();
    close(master);
  }
  void resize(int width) {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(width);
    REQUIRE(ioctl(fd, TIOCSWINSZ, &size) == 0);
  }
  /// All that was written; nothing can be written afterwards.
  const std::string& finish() {
    if (fd >= 0) {
      CHECK(::write(fd, kEnd, sizeof kEnd - 1) > 0);
      reader.join();
      close(fd);
      fd = -1;
    }
    return output;
  }
  static constexpr char kEnd[] = "\f(end)";
  int master = -1, fd = -1;
  std::string output;
  std::thread reader;
};

/// An environment variable for the length of a scope; nullptr unsets it.
struct ScopedEnvironment {
  ScopedEnvironment(const char* name, const char* value) : name(name) {
    if (const char* present = std::getenv(name)) old = present;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~ScopedEnvironment() { old ? setenv(name, old->c_str(), 1) : unsetenv(name); }
  const char* name;
  std::optional<std::string> old;
};

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace qkv::test
