// Runs the program as a user would: its own process, its output, its exit code.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "paths.h"

namespace qkv::test {

struct Finished {
  int code;  ///< exit code, or minus the signal that ended it
  std::string out, err;
};

struct ProcessOptions {
  std::string folder = {};           ///< working directory
  std::string input = {};            ///< standard input
  std::string output = {};           ///< a file for standard output, e.g. /dev/full
  std::size_t max_file_bytes = 0;    ///< no file may grow larger: a full disk, also for root
  std::size_t max_memory_bytes = 0;  ///< of addresses
  std::vector<int> ignored = {};     ///< signals that the parent has it ignore
};

/// `qkv ARGUMENTS...`, running; killed when it is still running at the end of its scope.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments, const ProcessOptions& options = {})
      : output_(options.output.empty() ? files_ / "out" : options.output) {
    write_file_atomic(files_ / "in", options.input);
    arguments.insert(arguments.begin(), binary_path());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    id_ = ::fork();
    REQUIRE(id_ >= 0);
    if (id_ > 0) return;
    attach(files_ / "in", O_RDONLY, 0);
    attach(output_, O_WRONLY | O_CREAT, 1);
    attach(files_ / "err", O_WRONLY | O_CREAT, 2);
    for (const int signal : {SIGHUP, SIGINT, SIGTERM}) ::signal(signal, SIG_DFL);
    for (const int signal : options.ignored) ::signal(signal, SIG_IGN);
    if (!options.folder.empty() && ::chdir(options.folder.c_str()) != 0) ::_exit(99);
    limit(RLIMIT_FSIZE, options.max_file_bytes);
    limit(RLIMIT_AS, options.max_memory_bytes);
    ::execv(argv[0], argv.data());
    ::_exit(99);
  }
  ~Process() {
    if (id_ > 0) {
      send(SIGKILL);
      wait();
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const { ::kill(id_, signal); }
  bool running() {
    if (id_ > 0 && ::waitpid(id_, &status_, WNOHANG) == id_) id_ = -1;
    return id_ > 0;
  }
  /// Standard output so far.
  std::string output() const { return exists(output_) ? read_file(output_) : ""; }
  /// Most memory so far; 0 at the end.
  std::size_t peak_bytes() const {
    std::ifstream status("/proc/" + std::to_string(id_) + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.rfind("VmHWM:", 0) == 0) return 1024 * std::stoull(line.substr(6));
    return 0;
  }
  Finished wait() {
    if (id_ > 0) ::waitpid(id_, &status_, 0);
    id_ = -1;
    return {WIFSIGNALED(status_) ? -WTERMSIG(status_) : WEXITSTATUS(status_),
            exists(files_ / "out") ? read_file(files_ / "out") : "", read_file(files_ / "err")};
  }

 private:
  static void attach(const std::string& file, int flags, int descriptor) {
    const int opened = ::open(file.c_str(), flags, 0600);
    if (opened < 0 || ::dup2(opened, descriptor) < 0) ::_exit(99);
  }
  template <class Resource>
  static void limit(Resource resource, std::size_t bytes) {
    const rlimit most{bytes, bytes};
    if (bytes > 0 && ::setrlimit(resource, &most) != 0) ::_exit(99);
  }

  TemporaryFolder files_;
  std::string output_;
  pid_t id_ = -1;
  int status_ = 0;
};

inline Finished run_qkv(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
  return Process(arguments, options).wait();
}

inline int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) n++;
  return n;
}

/// The program refused with this exit code and one message that holds `part`, and nothing in it is meant for
/// developers.
inline void check_refused(const Finished& result, int code, const std::string& part) {
  CAPTURE(result.err);
  CHECK(result.code == code);
  CHECK(count(result.err, "error: ") == 1);
  CHECK(count(result.err, part) > 0);
  for (const char* foreign : {"terminate called", "what()", "exception", "std::", "nlohmann",
                              "internal error", "Segmentation", "Sanitizer", "bad_alloc", "   at ", "#0 "})
    CHECK_MESSAGE(count(result.err, foreign) == 0, foreign);
}

/// Names and contents of all files below a folder, to see that nothing has changed.
inline std::string snapshot(const std::string& folder) {
  std::vector<std::string> lines;
  std::error_code error;
  for (auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (entry.path().filename() == ".lock") continue;
    const std::string name = entry.path().string();
    lines.push_back(name + (entry.is_regular_file(error) ? " " + checksum_file(name) : "") + "\n");
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

}  // namespace qkv::test
