#include "qkv/base/plugin.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "qkv/base/registry.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

constexpr std::size_t kMaxPluginSize = std::size_t{1} << 30;
constexpr std::size_t kMaxReason = 300;
constexpr int kMaxLoadSeconds = 60;
constexpr const char *kMark = "\1", *kLoaded = "loaded";  // of what is written here and not by the plug-in

struct Loaded {
  std::vector<std::string> paths, checksums;
  std::vector<std::string> instead;  // file names
};
Loaded& loaded() {
  static Loaded all;
  return all;
}

// The ABI text in the bytes of a plug-in, or "".
std::string stamp_of(const std::string& bytes) {
  // Written in two parts, so that this library does not carry the mark itself.
  const std::string mark = std::string("qkv-plug-in-") + "abi: ";
  const std::size_t begin = bytes.find(mark);
  if (begin == std::string::npos) return "";
  const std::size_t end = bytes.find(';', begin);
  return end == std::string::npos || end - begin > 200
             ? ""
             : bytes.substr(begin + mark.size(), end - begin - mark.size());
}

// What the loader says, with the C++ name of a missing symbol in readable form.
std::string readable(std::string message, const std::string& path) {
  if (starts_with(message, path + ": ")) message.erase(0, path.size() + 2);
  const std::string undefined = "undefined symbol: ";
  const std::size_t at = message.find(undefined);
  if (at == std::string::npos) return message;
  const std::string symbol = split(message.substr(at + undefined.size()), ' ').front();
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), std::free);
  return "the missing symbol " + (status == 0 ? std::string(name.get()) : symbol);
}

// ---- exit()

std::atomic<bool> may_not_exit{false};

void exit_of_plugin(int code, void*) {
  if (!may_not_exit) return;
  const std::string line =
      fmt::format("error: plug-in: must not end the process; got exit({}) while one of {} was used\n", code,
                  join(loaded().paths, ", "));
  (void)!::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(int(Fault::usage));
}

// ---- the trial: a plug-in's static objects may throw, exit or crash, so that another process loads it first

// Of the trial process: ends it with a line that says why.
[[noreturn]] void end_trial(std::string why) {
  std::replace(why.begin(), why.end(), '\n', ' ');
  const std::string line = "\n" + (kMark + why);
  (void)!::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(1);
}

[[noreturn]] void thrown_in_trial() {
  const std::exception_ptr exception = std::current_exception();
  try {
    if (exception) std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    end_trial(fmt::format("a static object that throws '{}'", e.what()));
  } catch (...) {
    end_trial("a static object that throws");
  }
  end_trial("a static object that calls std::terminate");
}

[[noreturn]] void run_trial(const std::string& path, int to) {
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGINT}) std::signal(signal, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
  ::dup2(to, STDERR_FILENO);
  std::set_terminate(thrown_in_trial);
  ::on_exit([](int code, void*) { end_trial(fmt::format("a static object that calls exit({})", code)); },
            nullptr);
  // dlopen is declared not to throw, but what a static object throws comes through it.
  void* (*volatile load)(const char*, int) = ::dlopen;
  try {
    if (!load(path.c_str(), RTLD_NOW | RTLD_LOCAL)) end_trial(readable(::dlerror(), path));
  } catch (...) {
    thrown_in_trial();
  }
  end_trial(kLoaded);
}

// What a process writes to the pipe until it ends or its time is over; then it is gone.
std::string last_words(pid_t child, int from) {
  std::string text;
  char buffer[4096];
  bool late = false;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(kMaxLoadSeconds);
  while (!(late = std::chrono::steady_clock::now() > end)) {
    pollfd waiting{from, POLLIN, 0};
    if (::poll(&waiting, 1, 100) <= 0) continue;
    const ssize_t n = ::read(from, buffer, sizeof buffer);
    if (n == 0 || (n < 0 && errno != EINTR)) break;
    if (n > 0) text.append(buffer, std::size_t(n));
    text.erase(0, text.size() > 100000 ? text.size() - 100000 : 0);
  }
  if (late) ::kill(child, SIGKILL);
  return late ? kMark + fmt::format("a static object that takes more than {} s", kMaxLoadSeconds) : text;
}

// Throws a usage error if loading the library would not go well.
void try_in_another_process(const std::string& path, const std::string& absolute) {
  int ends[2];
  std::fflush(nullptr);  // else the child could also write it
  if (::pipe2(ends, O_CLOEXEC) != 0)
    fail(Fault::runtime, "{}: a pipe cannot be opened; got {}", path, std::strerror(errno));
  const Descriptor from(ends[0]);
  Descriptor to(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) run_trial(absolute, to.get());
  if (child < 0) fail(Fault::runtime, "{}: a process cannot be started; got {}", path, std::strerror(errno));
  to = Descriptor();  // closed here
  const std::string text = last_words(child, from.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const std::vector<std::string> lines = split(trim(text), '\n');
  std::string why = lines.back().substr(0, kMaxReason);
  if (starts_with(why, kMark))
    why.erase(0, 1);
  else if (WIFSIGNALED(status))
    why = fmt::format("a static object that crashes ({}{}{})", ::strsignal(WTERMSIG(status)),
                      why.empty() ? "" : "; ", why);
  else
    why = fmt::format("a static object that calls _exit({})", WEXITSTATUS(status));
  if (why == kLoaded) return;
  fail(Fault::usage, "{}: must load; got {}", path, why);
}

}  // namespace

void load_plugin(const std::string& path) {
  if (is_directory(path)) fail(Fault::usage, "{}: a plug-in must be a shared library; got a directory", path);
  const std::string bytes = read_file(path, kMaxPluginSize, Fault::usage), sum = checksum(bytes);
  Loaded& all = loaded();
  if (std::count(all.checksums.begin(), all.checksums.end(), sum)) return;
  const std::string stamp = stamp_of(bytes);
  if (stamp.empty())
    fail(Fault::usage,
         "{}: must be a plug-in of qkv; got a file without its stamp (build it with qkv_add_plugin)", path);
  if (stamp != QKV_ABI)
    fail(Fault::usage, "{}: must be built for '{}'; got '{}' (build it again)", path, QKV_ABI, stamp);
  PendingRegistrations pending(std::filesystem::path(path).filename().string());
  // An absolute path: the loader looks for bare names elsewhere.
  const std::string absolute = std::filesystem::absolute(path).string();
  {
    // The loader holds its lock while static objects are built; a worker that needs it would wait for ever.
    const RunInline inline_runs;
    try_in_another_process(path, absolute);
    if (!::dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL))
      fail(Fault::usage, "{}: must load; got {}", path, readable(::dlerror(), absolute));
  }
  if (pending.size() == 0) fail(Fault::usage, "{}: must register something; got no QKV_REGISTER line", path);
  pool();  // whose threads would be joined first, and not all when one of them calls exit()
  static const int registered = ::on_exit(exit_of_plugin, nullptr);
  (void)registered;
  all.paths.push_back(path);
  all.checksums.push_back(sum);
  pending.commit();
}

NoExit::NoExit() {
  may_not_exit = true;
}
NoExit::~NoExit() {
  may_not_exit = false;
}

void load_plugin_instead(const std::string& path) {
  load_plugin(path);
  loaded().instead.push_back(std::filesystem::path(path).filename().string());
}

void load_plugins(const Section& root) {
  std::vector<std::string> paths;
  paths = root.get("plugins", paths, "shared libraries with further layers, models, tasks, ...", rule::path);
  root.check();  // without them, more would seem wrong than is
  const std::vector<std::string>& instead = loaded().instead;
  for (const std::string& file : paths) {
    if (std::count(instead.begin(), instead.end(), std::filesystem::path(file).filename().string())) continue;
    try {
      load_plugin(file);
    } catch (const Error& e) {
      root.fail("plugins", fmt::format("must name plug-ins that can be used; {}", e.what()));
    }
  }
}

const std::vector<std::string>& loaded_plugins() {
  return loaded().paths;
}

}  // namespace qkv
